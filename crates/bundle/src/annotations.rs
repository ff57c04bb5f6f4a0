//! What an image says of itself, as annotations of a container (OCI image specification, conversion.md).

use std::collections::BTreeMap;

use crate::image::ImageConfig;

/// How the annotations begin by which runtimes can be told what to do, on the host and as root: crun's
/// (`run.oci.hooks.stdout` names a file that it writes), those of its handlers, runc's, kata's, gVisor's, and what
/// engines tell them. An image's author is not to have a say in that.
const COMMANDS: [&str; 11] = [
    "run.oci.",
    "krun.",
    "module.wasm.",
    "org.systemd.",
    "org.criu.",
    "io.kubernetes.",
    "io.containerd.",
    "io.podman.",
    "io.container.",
    "io.katacontainers.",
    "dev.gvisor.",
];

/// What runc keeps among a container's annotations for itself.
const OF_RUNC: &str = "bundle";

/// Labels as they are, but for those that runtimes would obey; what they do not say of the image's own fields is said by
/// those.
pub(crate) fn of(image: &ImageConfig) -> BTreeMap<String, String> {
    let ports = image.config.exposed_ports.join(",");
    let fields = [
        ("os", image.os.as_str()),
        ("os.version", image.os_version.as_deref().unwrap_or_default()),
        ("architecture", image.architecture.as_str()),
        ("variant", image.variant.as_deref().unwrap_or_default()),
        ("author", image.author.as_deref().unwrap_or_default()),
        ("created", image.created.as_deref().unwrap_or_default()),
        ("stopSignal", image.config.stop_signal.as_str()),
        ("exposedPorts", ports.as_str()),
    ];
    let said = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let mut annotations: BTreeMap<String, String> =
        said.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned())).collect();
    let labels = image.config.labels.iter().filter(|(key, _)| is_harmless(key));
    annotations.extend(labels.map(|(key, value)| (key.clone(), value.clone())));
    annotations
}

/// Whether a label is for people; the specification has no annotation without a key.
fn is_harmless(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    !key.is_empty() && lower != OF_RUNC && !COMMANDS.iter().any(|prefix| lower.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_runtimes_would_obey_are_left_out() {
        let mut image = ImageConfig::default();
        for key in [
            "run.oci.hooks.stdout",
            "RUN.OCI.handler",
            "bundle",
            "org.criu.config",
            "",
            "team",
            "bundles",
            "krun.variant",
            "run.ocis",
        ] {
            image.config.labels.insert(key.to_owned(), "x".to_owned());
        }
        assert_eq!(of(&image).into_keys().collect::<Vec<_>>(), ["bundles", "run.ocis", "team"]);
    }
}
