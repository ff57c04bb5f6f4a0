//! The tags of a repository (distribution-spec 1.1, "Listing tags").

use serde_json::json;

use crate::State;
use crate::http::{Request, Response};

/// The answer, if the request is for tags.
pub(crate) fn answer(state: &State, request: &Request) -> Option<Response> {
    let repository = request.path().strip_prefix("/v2/")?.strip_suffix("/tags/list")?;
    let own = format!("{repository}:");
    let mut tags: Vec<&str> = state.manifests.keys().filter_map(|key| key.strip_prefix(&own)).collect();
    if tags.is_empty() {
        return Some(Response::error(404, "NAME_UNKNOWN", "not known to the registry"));
    }
    tags.sort_unstable();
    let last = request.parameter("last").unwrap_or_default();
    let rest: Vec<&str> = tags.into_iter().filter(|tag| **tag > *last).collect();
    let wanted = request.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
    let page = &rest[..rest.len().min(wanted).min(state.page_size.unwrap_or(usize::MAX))];
    let body = json!({"name": repository, "tags": page}).to_string();
    let response = Response::new(200, body).with("Content-Type", "application/json");
    Some(match page.last() {
        Some(last) if page.len() < rest.len() => {
            response.with("Link", format!("<{}?n={wanted}&last={last}>; rel=\"next\"", request.path()))
        }
        _ => response,
    })
}
