//! An image's config (OCI image specification, config.md), as far as a container is made of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::Error;

/// An image's config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, as it is written there.
    #[serde(default)]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default)]
    pub author: Option<String>,
    /// The processor that its programs are for, as Go calls it.
    #[serde(default)]
    pub architecture: String,
    /// The processor's variant.
    #[serde(default)]
    pub variant: Option<String>,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// Its version, where that matters.
    #[serde(rename = "os.version", default)]
    pub os_version: Option<String>,
    /// How containers of it are to be run.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Settings,
}

/// How containers of an image are to be run. Docker writes null for what is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    /// `USER[:GROUP]`, each by name or number.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// Ports as `8080/tcp`.
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// Variables as `NAME=VALUE`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// What is started, before the command.
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// What is started, or what the entrypoint gets, unless something else is wanted.
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// Directories that are to be writable and no part of the image.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// Where it is started.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// What somebody wanted to say of the image.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// How the container is asked to end: a signal's name or number.
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: String,
}

impl ImageConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// [`Error::NotAConfig`] for what is no JSON, or says something of the wrong kind, or is for no operating system:
    /// artifacts that are no images have such configs.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let config: Self =
            serde_json::from_slice(bytes).map_err(|error| Error::NotAConfig(error.to_string()))?;
        if config.os.is_empty() {
            return Err(Error::NotAConfig("it does not say for which operating system it is".to_owned()));
        }
        Ok(config)
    }
}

/// What is there, or nothing where it is null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The keys of an object whose values mean nothing, in order.
fn keys<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let object: BTreeMap<String, IgnoredAny> = or_default(deserializer)?;
    Ok(object.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_nothing_and_keys_are_what_counts_of_ports_and_volumes() {
        let config = ImageConfig::parse(
            br#"{"os":"linux","architecture":"amd64","rootfs":{},"config":{"Env":null,"Entrypoint":null,
                "Cmd":["sh"],"Volumes":{"/b":{},"/a":{}},"ExposedPorts":{"80/tcp":{}},"Labels":null,"Unknown":7}}"#,
        )
        .unwrap();
        let settings = config.config;
        assert_eq!((settings.cmd, settings.env.len()), (vec!["sh".to_owned()], 0));
        assert_eq!(
            (settings.volumes.join(" "), settings.exposed_ports.join(" ")),
            ("/a /b".into(), "80/tcp".into())
        );
        for without in [&br#"{"os":"linux"}"#[..], br#"{"os":"linux","config":null}"#] {
            assert_eq!(ImageConfig::parse(without).unwrap().config, Settings::default());
        }
    }

    #[test]
    fn what_is_no_config_says_what_is_wrong_with_it() {
        for (bytes, word) in [
            (&b"nonsense"[..], "line 1"),
            (b"{}", "operating system"),
            (br#"{"os":"linux","config":{"Cmd":"sh"}}"#, "invalid type: string"),
            (br#"{"os":"linux","config":{"Labels":{"a":1}}}"#, "invalid type: integer"),
        ] {
            let error = ImageConfig::parse(bytes).unwrap_err().to_string();
            assert!(error.contains("no config") && error.contains(word), "{error}");
        }
    }
}
