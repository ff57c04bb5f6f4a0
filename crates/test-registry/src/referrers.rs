//! The referrers API (distribution-spec 1.1, "Listing referrers").

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::{State, digest_of};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The answer, if the request is for referrers and there is an API for that.
pub(crate) fn answer(state: &State, request: &Request) -> Option<Response> {
    let (repository, subject) = request.path().strip_prefix("/v2/")?.rsplit_once("/referrers/")?;
    if !state.referrers_api {
        return Some(Response::new(404, "404 page not found\n").with("Content-Type", "text/plain"));
    }
    let mut entries = entries(state, repository, subject);
    let wanted = request.parameter("artifactType").filter(|_| state.filters);
    if let Some(wanted) = &wanted {
        entries.retain(|entry| entry["artifactType"] == wanted.as_str());
    }
    let start: usize = request.parameter("start").and_then(|start| start.parse().ok()).unwrap_or(0);
    let end = entries.len().min(start.saturating_add(state.page_size.unwrap_or(usize::MAX)));
    let page = entries.get(start..end).unwrap_or_default();
    let body = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": page});
    let mut response = Response::new(200, body.to_string()).with("Content-Type", INDEX);
    if let Some(wanted) = &wanted {
        response = response.with("OCI-Filters-Applied", "artifactType");
        if end < entries.len() {
            let link = format!("{}?start={end}&artifactType={wanted}", request.path());
            response = response.with("Link", format!("<{link}>; rel=\"next\""));
        }
    } else if end < entries.len() {
        response = response.with("Link", format!("<{}?start={end}>; rel=\"next\"", request.path()));
    }
    Some(response)
}

/// The manifests with that subject, and what the registry pretends to be such.
fn entries(state: &State, repository: &str, subject: &str) -> Vec<Value> {
    let own = format!("{repository}@");
    let manifests = state.manifests.iter().filter(|(key, _)| key.starts_with(&own));
    let referring = manifests.filter_map(|(_, stored)| {
        let manifest: Value = serde_json::from_slice(&stored.bytes).ok()?;
        (manifest["subject"]["digest"] == subject).then(|| {
            let artifact_type = match &manifest["artifactType"] {
                Value::Null => manifest["config"]["mediaType"].clone(),
                other => other.clone(),
            };
            let mut entry = json!({
                "mediaType": stored.media_type, "digest": digest_of(&stored.bytes),
                "size": stored.bytes.len(), "artifactType": artifact_type,
            });
            if manifest["annotations"].is_object() {
                entry["annotations"] = manifest["annotations"].clone();
            }
            entry
        })
    });
    let mut entries: Vec<Value> = referring.collect();
    entries.sort_by_key(|entry| entry["digest"].to_string());
    entries.extend(state.pretended.get(subject).into_iter().flatten().cloned());
    entries
}
