//! Which names members and links may have.

use super::Limits;
use super::error::{ErrorKind, NameProblem, beyond};

/// A path or a link's target, if it can be one.
pub(super) fn name(field: &'static str, name: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, ErrorKind> {
    let problem = match name.as_slice() {
        b"" => NameProblem::Empty,
        _ if name.len() > limits.path_bytes => return Err(beyond("bytes in a path", limits.path_bytes)),
        _ if name.contains(&0) => NameProblem::Nul,
        _ => return Ok(name),
    };
    Err(ErrorKind::Name { field, problem })
}
