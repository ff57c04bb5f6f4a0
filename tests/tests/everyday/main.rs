//! Commands as people use them: what they type, what they read while they wait, and what they are told to do next.

mod again;
mod answers;
mod forms;
mod pull;
mod support;
mod terminal;
mod waiting;
