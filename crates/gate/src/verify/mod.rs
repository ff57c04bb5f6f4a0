//! Everything that an image rests on, looked at, and what came of it: a [`Report`]. What is wrong is in the report, and no
//! error.

mod elsewhere;
mod kernel;
mod report;
mod seals;
mod stored;

pub use elsewhere::elsewhere;
pub use report::{Finding, Outcome, Report, StoredImage};
pub use stored::stored;
