//! The seal of an image: the root hashes of its devices and their signatures.
