//! Requests in, answers or faults out.

use std::io::{self, BufReader, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault::{Action, Fault};
use crate::http::{Request, Response, write_chunk};
use crate::image::digest_of;
use crate::{Shared, State, Stored, auth, push, referrers, tags};

/// Answers all requests of a connection.
pub(crate) fn serve(stream: &mut (impl Read + Write), url: &str, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = Request::read_head(&mut stream)? {
        if shared.is_stopping() {
            break;
        }
        let action = take_fault(&mut shared.state(), &request);
        if let Some(Action::CutUpload(count)) = action {
            request.read_content(&mut stream, count)?;
            let mut state = shared.state();
            state.requests.push(request.to_record());
            push::take_bytes(&mut state, &request);
            break;
        }
        request.read_content(&mut stream, usize::MAX)?;
        let response = {
            let mut state = shared.state();
            state.requests.push(request.to_record());
            let response = answer(&mut state, &request, url, action.as_ref());
            Response { head_only: request.is_head(), ..response }
        };
        if !send(stream.get_mut(), response, action, shared)? {
            break;
        }
    }
    Ok(())
}

fn take_fault(state: &mut State, request: &Request) -> Option<Action> {
    let ranged = request.header("range").is_some();
    let hit = |fault: &&mut Fault| {
        request.target.contains(&fault.path)
            && fault.method.as_ref().is_none_or(|method| *method == request.method)
            && fault.ranged.is_none_or(|wanted| wanted == ranged)
            && fault.times != Some(0)
    };
    let fault = state.faults.iter_mut().find(hit)?;
    if fault.after > 0 {
        fault.after -= 1;
        return None;
    }
    if let Some(times) = &mut fault.times {
        *times -= 1;
    }
    Some(fault.action.clone())
}

/// The right answer, or the one that a fault puts in its place.
fn answer(state: &mut State, request: &Request, url: &str, action: Option<&Action>) -> Response {
    if let Some(Action::Answer { status, headers, body }) = action {
        let response = Response::new(*status, body.clone());
        return headers.iter().fold(response, |response, (name, value)| response.with(name, value));
    }
    if let Some(Action::Redirect(status, target)) = action {
        return Response::new(*status, "elsewhere").with("Location", target);
    }
    if request.target.starts_with("/token") {
        return auth::give_token(state, request);
    }
    if let Some(refusal) = auth::refuse(state, request, url) {
        return refusal;
    }
    if let Some(response) = push::answer(state, request, action) {
        return response;
    }
    if let Some(response) = referrers::answer(state, request) {
        return response;
    }
    if let Some(response) = tags::answer(state, request) {
        return response;
    }
    let found = find(state, request.path());
    let Some(Stored { media_type, bytes }) = found else {
        return Response::error(404, "NAME_UNKNOWN", "not known to the registry");
    };
    let start = match (action, request.range_start()) {
        (Some(Action::IgnoreRange), _) | (_, None) => None,
        (Some(Action::RefuseRange), Some(_)) => return Response::new(416, ""),
        (Some(Action::ShiftRange(by)), Some(start)) => Some(start + by),
        (_, Some(start)) => Some(start),
    };
    // Other tools want it where they do not read the manifest itself; ours is not to rest on it.
    let claimed = request.is_head() && request.path().contains("/manifests/");
    let claimed = claimed.then(|| digest_of(&bytes));
    let response = match start {
        Some(start) if start >= bytes.len() => return Response::new(416, ""),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            Response::new(206, &bytes[start..]).with("Content-Range", range)
        }
        None => Response::new(200, bytes),
    };
    let response = response.with("Content-Type", media_type);
    claimed.iter().fold(response, |response, digest| response.with("Docker-Content-Digest", digest))
}

fn find(state: &State, path: &str) -> Option<Stored> {
    if path == "/v2/" {
        return Some(Stored { media_type: "application/json".to_owned(), bytes: b"{}".to_vec() });
    }
    if let Some((repository, digest)) = path.strip_prefix("/v2/")?.rsplit_once("/blobs/") {
        let bytes = state.blob(repository, digest)?.to_vec();
        return Some(Stored { media_type: "application/octet-stream".to_owned(), bytes });
    }
    let (repository, selector) = path.strip_prefix("/v2/")?.rsplit_once("/manifests/")?;
    state.manifest(repository, selector).cloned()
}

/// Sends an answer, and says whether the connection goes on.
fn send(
    stream: &mut impl Write,
    mut response: Response,
    action: Option<Action>,
    shared: &Shared,
) -> io::Result<bool> {
    let length = response.body.len();
    match action {
        Some(
            Action::HangUp
            | Action::Garbage
            | Action::CutAfter(_)
            | Action::StallAfter(..)
            | Action::CutChunkedBody(_)
            | Action::EndlessBody,
        ) => {
            break_off(stream, &response, action, shared)?;
            return Ok(false);
        }
        Some(Action::ShortBody(count)) => {
            response.body.truncate(count);
            response.write(stream)?;
        }
        Some(Action::WrongByte) => {
            if let Some(byte) = response.body.last_mut() {
                *byte ^= 1;
            }
            response.write(stream)?;
        }
        Some(Action::LongBody(more)) => {
            response.body.resize(length + more, b'x');
            response.write(stream)?;
        }
        Some(Action::LongChunkedBody(more)) => {
            response.body.resize(length + more, b'x');
            response.write_head(stream, None)?;
            write_chunk(stream, &response.body)?;
            write_chunk(stream, b"")?;
        }
        Some(Action::Coded(coding)) => coded(response, &coding).write(stream)?,
        Some(Action::CodedChunks(coding)) => {
            let response = coded(response, &coding);
            response.write_head(stream, None)?;
            write_chunk(stream, &response.body)?;
            write_chunk(stream, b"")?;
        }
        Some(Action::ExtraHeader(name, value)) => response.with(&name, value).write(stream)?,
        Some(Action::ContentType(value)) => response.with("Content-Type", value).write(stream)?,
        // These have changed the answer itself.
        None
        | Some(
            Action::Answer { .. }
            | Action::Redirect(..)
            | Action::IgnoreRange
            | Action::RefuseRange
            | Action::ShiftRange(_)
            | Action::CutUpload(_)
            | Action::TakePart(_)
            | Action::Discard,
        ) => response.write(stream)?,
    }
    Ok(true)
}

/// `response` as a server sends it that compresses what it is not asked to.
fn coded(mut response: Response, coding: &str) -> Response {
    response.body = crate::gzip(&response.body);
    response.with("Content-Encoding", coding)
}

/// Sends what comes before the connection ends.
fn break_off(
    stream: &mut impl Write,
    response: &Response,
    action: Option<Action>,
    shared: &Shared,
) -> io::Result<()> {
    let body = &response.body;
    let start = |count: usize| &body[..count.min(body.len())];
    match action {
        Some(Action::Garbage) => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"),
        Some(Action::CutAfter(count)) => {
            response.write_head(stream, Some(body.len()))?;
            stream.write_all(start(count))?;
            stream.flush()
        }
        Some(Action::StallAfter(count, pause)) => {
            response.write_head(stream, Some(body.len()))?;
            stream.write_all(start(count))?;
            stream.flush()?;
            let end = Instant::now() + pause;
            while Instant::now() < end && !shared.is_stopping() {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
        Some(Action::CutChunkedBody(count)) => {
            response.write_head(stream, None)?;
            write_chunk(stream, start(count))
        }
        Some(Action::EndlessBody) => {
            response.write_head(stream, None)?;
            write_chunk(stream, body)?;
            // Ends when the client goes away, or at a bound that no client should get to.
            for _ in 0..4096 {
                if shared.is_stopping() {
                    break;
                }
                write_chunk(stream, &[0; 16 * 1024])?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
