//! What is said to the broker, and what it answers.

use sealpack_format::broker::{Answer, Request};

/// A message that is read is written again as it was: there is one spelling of each, and nothing in it is passed over.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(request) = Request::parse(bytes) {
        assert_eq!(request.to_bytes().expect("what was read can be written"), bytes);
        assert!(request.descriptors() <= 253, "one message carries no more");
    }
    if let Ok(answer) = Answer::parse(bytes) {
        assert_eq!(answer.to_bytes(), bytes);
    }
}
