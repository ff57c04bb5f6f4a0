//! What clients write: uploads, mounts, manifests (distribution-spec 1.1, "Push").

use serde_json::Value;

use crate::fault::Action;
use crate::http::{Request, Response};
use crate::{State, Stored, digest_of};

/// An upload that is not finished.
#[derive(Debug)]
pub(crate) struct Upload {
    repository: String,
    bytes: Vec<u8>,
}

/// The answer, if the request writes or is about an upload.
pub(crate) fn answer(state: &mut State, request: &Request, action: Option<&Action>) -> Option<Response> {
    let path = request.path().strip_prefix("/v2/")?;
    if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
        let (repository, id) = (repository.to_owned(), id.to_owned());
        return Some(match request.method.as_str() {
            "POST" => begin(state, request, &repository),
            "PATCH" => add(state, request, &id, action),
            "PUT" => finish(state, request, &id),
            "DELETE" => match state.uploads.remove(&id) {
                Some(_) => Response::new(204, ""),
                None => unknown_upload(),
            },
            _ => status(state, &id, 204),
        });
    }
    let (repository, selector) = path.rsplit_once("/manifests/")?;
    (request.method == "PUT").then(|| {
        let discard = matches!(action, Some(Action::Discard));
        put_manifest(state, request, repository, selector, discard)
    })
}

/// Takes what arrived of a chunk, in the right place or not, without an answer.
pub(crate) fn take_bytes(state: &mut State, request: &Request) {
    let id = request.path().rsplit_once('/').map(|(_, id)| id).unwrap_or_default();
    if let Some(upload) = state.uploads.get_mut(id).filter(|_| request.method == "PATCH") {
        upload.bytes.extend_from_slice(&request.content);
    }
}

fn unknown_upload() -> Response {
    Response::error(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")
}

fn begin(state: &mut State, request: &Request, repository: &str) -> Response {
    if let (Some(digest), Some(from)) = (request.parameter("mount"), request.parameter("from"))
        && state.mounts
        && state.blob(&from, &digest).is_some()
    {
        state.homes.entry(digest.clone()).or_default().insert(repository.to_owned());
        return created(repository, &digest);
    }
    let id = format!("upload-{}", state.requests.len());
    state.uploads.insert(id.clone(), Upload { repository: repository.to_owned(), bytes: Vec::new() });
    status(state, &id, 202)
}

/// Where an upload stands.
fn status(state: &State, id: &str, code: u16) -> Response {
    let Some(upload) = state.uploads.get(id) else { return unknown_upload() };
    let location = format!("/v2/{}/blobs/uploads/{id}", upload.repository);
    let last = upload.bytes.len().saturating_sub(1);
    Response::new(code, "").with("Location", location).with("Range", format!("0-{last}"))
}

fn add(state: &mut State, request: &Request, id: &str, action: Option<&Action>) -> Response {
    let Some(upload) = state.uploads.get_mut(id) else { return unknown_upload() };
    let range = request.header("content-range").and_then(|range| range.split_once('-'));
    let start = range.and_then(|(start, _)| start.parse::<usize>().ok());
    if start.is_some_and(|start| start != upload.bytes.len()) || matches!(action, Some(Action::RefuseRange)) {
        return status(state, id, 416);
    }
    let count = match action {
        Some(Action::TakePart(count)) => request.content.len().min(*count),
        Some(Action::Discard) => 0,
        _ => request.content.len(),
    };
    upload.bytes.extend_from_slice(&request.content[..count]);
    status(state, id, 202)
}

fn finish(state: &mut State, request: &Request, id: &str) -> Response {
    let Some(mut upload) = state.uploads.remove(id) else { return unknown_upload() };
    upload.bytes.extend_from_slice(&request.content);
    let digest = request.parameter("digest").unwrap_or_default();
    if digest_of(&upload.bytes) != digest {
        return Response::error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    // Those that the test itself put are everywhere.
    if !state.blobs.contains_key(&digest) || state.homes.contains_key(&digest) {
        state.homes.entry(digest.clone()).or_default().insert(upload.repository.clone());
    }
    state.blobs.insert(digest.clone(), upload.bytes);
    created(&upload.repository, &digest)
}

fn created(repository: &str, digest: &str) -> Response {
    let location = format!("/v2/{repository}/blobs/{digest}");
    Response::new(201, "").with("Location", location).with("Docker-Content-Digest", digest)
}

fn put_manifest(
    state: &mut State,
    request: &Request,
    repository: &str,
    selector: &str,
    discard: bool,
) -> Response {
    let digest = digest_of(&request.content);
    if selector.contains(':') && selector != digest {
        return Response::error(400, "DIGEST_INVALID", "the manifest has another digest");
    }
    let Ok(manifest) = serde_json::from_slice::<Value>(&request.content) else {
        return Response::error(400, "MANIFEST_INVALID", "the manifest is no JSON");
    };
    if let Some(missing) = missing(state, repository, &manifest) {
        return Response::error(400, "MANIFEST_BLOB_UNKNOWN", &format!("{missing} is not here"));
    }
    let media_type = request.header("content-type").unwrap_or_default().to_owned();
    if !discard {
        let stored = Stored { media_type, bytes: request.content.clone() };
        state.manifests.insert(format!("{repository}@{digest}"), stored.clone());
        if !selector.contains(':') {
            state.manifests.insert(format!("{repository}:{selector}"), stored);
        }
    }
    let response = Response::new(201, "")
        .with("Location", format!("/v2/{repository}/manifests/{selector}"))
        .with("Docker-Content-Digest", digest);
    match manifest["subject"]["digest"].as_str() {
        Some(subject) if state.tells_subject => response.with("OCI-Subject", subject),
        _ => response,
    }
}

/// A blob or manifest that `manifest` names and the repository does not have. The subject may come later.
fn missing(state: &State, repository: &str, manifest: &Value) -> Option<String> {
    let digest = |descriptor: &Value| descriptor["digest"].as_str().unwrap_or_default().to_owned();
    let list = |name: &str| manifest[name].as_array().into_iter().flatten().map(digest).collect::<Vec<_>>();
    let config = manifest.get("config").map(digest);
    let blob = config.into_iter().chain(list("layers"));
    let blob = blob.into_iter().find(|blob| state.blob(repository, blob).is_none());
    let image = list("manifests").into_iter().find(|image| state.manifest(repository, image).is_none());
    blob.or(image)
}
