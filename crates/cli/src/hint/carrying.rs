//! What to do about an image that cannot be had: the way to it, and what is said about it.

use std::io::ErrorKind::NotFound;

use sealpack_gate::NotAdmitted;
use sealpack_oci::Error;
use sealpack_oci::composefs::{Claim, ClaimedIn};
use sealpack_oci::ingest::ScanError;
use sealpack_oci::pull::PullError;
use sealpack_oci::registry::RegistryError;

use crate::args::option_of;

/// The advice for a pull that failed.
pub(super) fn of_pull(error: &PullError) -> Option<String> {
    if let Some(over) = error.over_limit() {
        return Some(format!("if the image is meant to be so, {} raises the limit", option_of(over.limit)));
    }
    match error {
        PullError::Source(error) => of_way(error),
        PullError::Composefs(checked) => Some(about(&checked.claim).to_owned()),
        PullError::Refused(objection) => {
            objection.reason().downcast_ref().map(of_not_admitted).map(str::to_owned)
        }
        PullError::Store(error) | PullError::Layer { source: ScanError::Store(error), .. } => {
            super::of_store(error).map(str::to_owned)
        }
        _ => None,
    }
}

/// The advice for what lies between here and an image.
pub(super) fn of_way(error: &Error) -> Option<String> {
    match error {
        Error::Registry(error) => of_registry(error),
        Error::AfterMirrors { error, .. } => of_way(error),
        Error::WrongPlatform { actual, .. } => {
            Some(format!("`--platform {actual}` takes the image that is there"))
        }
        Error::NoPlatform { available, .. } => {
            available.first().map(|platform| format!("for example `--platform {platform}`"))
        }
        Error::File { path, source, .. } if source.kind() == NotFound && path.ends_with("oci-layout") => Some(
            "an OCI layout is a directory with the files oci-layout and index.json; is the path spelt right?"
                .to_owned(),
        ),
        Error::Schema1 { .. } => Some("pushing the image again with a current docker converts it".to_owned()),
        _ => None,
    }
}

/// What to do where plain HTTP is answered in a way that is none.
const NOT_PLAIN: &str = "if the registry speaks TLS, leave out `--plain-http`";

fn of_registry(error: &RegistryError) -> Option<String> {
    match error {
        RegistryError::Tls { plain: true, .. } => {
            Some("if the registry speaks plain HTTP only, say so with `--plain-http`".to_owned())
        }
        RegistryError::Tls { wrong_name: true, .. } => Some(
            "the server's certificate is trusted, but not for this name: use a name that it has, or give the server one with \
             this name or address among its subjectAltNames"
                .to_owned(),
        ),
        RegistryError::Tls { .. } => {
            Some("if the registry has a certificate of its own, name its CA with `--ca FILE`".to_owned())
        }
        RegistryError::Unauthorized { anonymous: true, registry, .. } => {
            Some(format!("`podman login {registry}` or `docker login {registry}` stores credentials"))
        }
        RegistryError::Unauthorized { registry, .. } => {
            Some(format!("`podman login {registry}` or `docker login {registry}` renews the credentials"))
        }
        RegistryError::Raced { .. } => {
            Some("somebody else is pushing for the same image; try again when that is done".to_owned())
        }
        RegistryError::Nonsense { url, .. } | RegistryError::Status { url, status: 400, .. }
            if url.starts_with("http://") =>
        {
            Some(NOT_PLAIN.to_owned())
        }
        // What answers in another protocol.
        RegistryError::Unreachable { url, problem, .. }
            if url.starts_with("http://") && problem.contains("http parse fail") =>
        {
            Some(NOT_PLAIN.to_owned())
        }
        RegistryError::NotFound { url, .. } if url.contains("/manifests/") => Some(
            "look at the spelling of registry, repository and tag; some registries hide what needs a login"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Why a claim may be wrong although nothing bad has happened.
const fn about(claim: &Claim) -> &'static str {
    match claim.place {
        ClaimedIn::Labels => {
            "labels are inherited: this one may be about the image that this one was built from, or, if it was made \
             before composefs-rs 0.7, about another format; `--no-composefs-check` pulls the image all the same"
        }
        _ => {
            "somebody else changed the image, or signed another one; `--no-composefs-check` pulls it all the same"
        }
    }
}

/// Who says that something is revoked.
pub(super) const REVOKED: &str = "revoked.toml in the trust store says so";

/// What can be done about layers that are not what was sealed, or were revoked.
const fn of_not_admitted(error: &NotAdmitted) -> &'static str {
    match error {
        NotAdmitted::Seal { .. } => {
            "whoever signed it has sealed other bytes, or with another version: have the image sealed again"
        }
        NotAdmitted::Revoked { .. } => REVOKED,
        NotAdmitted::Store(_) => "`sealpack fsck` names what is damaged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unauthorized(anonymous: bool) -> RegistryError {
        RegistryError::Unauthorized {
            url: "https://r.lan/v2/".into(),
            used: String::new(),
            anonymous,
            registry: "r.lan:5000".into(),
            said: String::new(),
        }
    }

    fn of(error: impl Into<Box<RegistryError>>) -> String {
        of_way(&Error::Registry(error.into())).unwrap_or_default()
    }

    #[test]
    fn who_may_not_enter_hears_how_to_log_in_and_where() {
        let text = of(unauthorized(true));
        assert_eq!(text, "`podman login r.lan:5000` or `docker login r.lan:5000` stores credentials");
        assert!(of(unauthorized(false)).ends_with("renews the credentials"));
    }

    #[test]
    fn a_server_without_tls_and_one_with_another_ca_get_the_option_that_helps() {
        let tls = |plain, wrong_name| {
            let (url, problem) = (String::new(), String::new());
            RegistryError::Tls { url, problem, plain, wrong_name }
        };
        assert!(of(tls(true, false)).contains("`--plain-http`"));
        assert!(of(tls(false, false)).contains("`--ca FILE`"));
        assert!(of(tls(false, true)).contains("not for this name"));
    }

    #[test]
    fn who_races_with_others_hears_to_wait() {
        let raced = RegistryError::Raced { what: String::new(), entry: String::new(), attempts: 5 };
        assert!(of(raced).contains("somebody else is pushing"));
    }

    #[test]
    fn the_platform_that_is_there_is_offered_in_the_place_of_another() {
        let error = Error::WrongPlatform {
            what: "app:1".into(),
            wanted: "linux/amd64".parse().unwrap(),
            actual: "linux/arm64".parse().unwrap(),
        };
        assert_eq!(of_way(&error).unwrap(), "`--platform linux/arm64` takes the image that is there");
        assert!(of_way(&Error::Schema1 { what: "app:1".into() }).is_some());
    }

    #[test]
    fn a_missing_platform_gets_an_example_that_is_there() {
        let error = Error::NoPlatform {
            what: "app:1".into(),
            wanted: "linux/s390x".parse().unwrap(),
            available: ["linux/amd64", "linux/arm/v6"].map(|text| text.parse().unwrap()).to_vec(),
        };
        assert_eq!(of_way(&error).unwrap(), "for example `--platform linux/amd64`");
    }
}
