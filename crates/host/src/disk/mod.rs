//! A disk that boots.

mod esp;
mod gpt;
mod number;
