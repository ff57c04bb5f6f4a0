//! IPE policies: text, meaning, and what the kernel says about its decisions.
