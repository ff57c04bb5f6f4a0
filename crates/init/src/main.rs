//! A sealed host's first process, and the broker that it forks.

fn main() {}
