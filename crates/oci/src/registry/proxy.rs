//! Proxies from the environment, by the rules of curl and Go: HTTPS_PROXY, HTTP_PROXY,
//! ALL_PROXY and NO_PROXY, in capitals or not; loopback is never asked through a proxy.

use std::net::IpAddr;

use super::error::RegistryError;
use super::url::{Origin, Scheme};
use crate::environment::Environment;

/// The environment's proxies.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    https: Option<String>,
    http: Option<String>,
    exceptions: Vec<Exception>,
}

/// A proxy for one origin.
#[derive(Debug, Clone)]
pub(super) struct ChosenProxy {
    pub(super) proxy: ureq::Proxy,
    /// `HOST:PORT`, for messages.
    pub(super) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    /// An address or the network of its first bits.
    Network(IpAddr, u32),
    /// A domain and everything below it, or only what is below it; perhaps for one port.
    Domain {
        name: String,
        below_only: bool,
        port: Option<u16>,
    },
    Address(IpAddr, Option<u16>),
}

impl Proxies {
    pub(super) fn of(environment: &Environment) -> Self {
        let any = environment.text(&["ALL_PROXY", "all_proxy"]);
        let https = environment.text(&["HTTPS_PROXY", "https_proxy"]).or(any);
        let http = environment.text(&["HTTP_PROXY", "http_proxy"]).or(any);
        let exceptions = environment.text(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Self {
            https: https.map(str::to_owned),
            http: http.map(str::to_owned),
            exceptions: exceptions.split([',', ' ']).filter_map(Exception::parse).collect(),
        }
    }

    /// The proxy for `origin`, if one is to be used.
    pub(super) fn choose(&self, origin: &Origin) -> Result<Option<ChosenProxy>, RegistryError> {
        let text = match origin.scheme {
            Scheme::Https => &self.https,
            Scheme::Http => &self.http,
        };
        let Some(text) = text.as_deref().map(str::trim) else { return Ok(None) };
        if origin.is_loopback() || self.exceptions.iter().any(|exception| exception.covers(origin)) {
            return Ok(None);
        }
        let bad = |problem: String| {
            let without_user = text.rsplit('@').next().unwrap_or_default().to_owned();
            RegistryError::Proxy { proxy: without_user, problem }
        };
        let proxy = ureq::Proxy::new(text).map_err(|error| bad(error.to_string()))?;
        let name = format!("{}:{}", proxy.host(), proxy.port());
        Ok(Some(ChosenProxy { proxy, name }))
    }
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits: u32 = bits.parse().ok()?;
            return (bits <= if address.is_ipv4() { 32 } else { 128 })
                .then_some(Self::Network(address, bits));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address, None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, port));
        }
        let name = host.trim_start_matches('*');
        let below_only = name.starts_with('.');
        let name = name.trim_matches('.').to_owned();
        (!name.is_empty()).then_some(Self::Domain { name, below_only, port })
    }

    fn covers(&self, origin: &Origin) -> bool {
        let right_port = |port: &Option<u16>| port.is_none_or(|port| port == origin.port);
        match self {
            Self::All => true,
            Self::Network(network, bits) => match (network, origin.address()) {
                (IpAddr::V4(network), Some(IpAddr::V4(address))) => {
                    let rest = 32_u32.saturating_sub(*bits);
                    u64::from(network.to_bits()) >> rest == u64::from(address.to_bits()) >> rest
                }
                (IpAddr::V6(network), Some(IpAddr::V6(address))) => {
                    let shift =
                        |bits_of: u128| bits_of.checked_shr(128_u32.saturating_sub(*bits)).unwrap_or(0);
                    shift(network.to_bits()) == shift(address.to_bits())
                }
                _ => false,
            },
            Self::Address(address, port) => origin.address() == Some(*address) && right_port(port),
            Self::Domain { name, below_only, port } => {
                let same = !below_only && origin.host == *name;
                let below = origin.host.strip_suffix(name).is_some_and(|start| start.ends_with('.'));
                (same || below) && right_port(port)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses_proxy(no_proxy: &str, url: &str) -> bool {
        let environment = Environment::empty("/")
            .with("https_proxy", "proxy.example:3128")
            .with("HTTP_PROXY", "http://user:pass@other.example")
            .with("NO_PROXY", no_proxy);
        let origin = super::super::url::Url::parse(url).unwrap().origin;
        Proxies::of(&environment).choose(&origin).unwrap().is_some()
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let environment = Environment::empty("/").with("HTTPS_PROXY", "http://a:1").with("http_proxy", "b:2");
        let name = |environment: &Environment, url: &str| {
            let origin = super::super::url::Url::parse(url).unwrap().origin;
            Proxies::of(environment).choose(&origin).unwrap().map(|proxy| proxy.name)
        };
        assert_eq!(name(&environment, "https://x.io").as_deref(), Some("a:1"));
        assert_eq!(name(&environment, "http://x.io").as_deref(), Some("b:2"));
        let all = Environment::empty("/").with("ALL_PROXY", "c:3").with("HTTPS_PROXY", "");
        assert_eq!(name(&all, "https://x.io").as_deref(), Some("c:3"));
        assert_eq!(name(&Environment::empty("/"), "https://x.io"), None);
    }

    #[test]
    fn loopback_is_never_asked_through_a_proxy() {
        for url in ["http://localhost:5000", "https://127.0.0.1", "http://[::1]:1"] {
            assert!(!uses_proxy("", url), "{url}");
        }
    }

    #[test]
    fn no_proxy_knows_hosts_domains_ports_and_networks() {
        for (no_proxy, url, proxied) in [
            ("", "https://a.example", true),
            ("*", "https://a.example", false),
            ("example", "https://a.example", false),
            ("a.example", "https://a.example", false),
            ("a.example", "https://b.a.example", false),
            ("a.example", "https://ba.example", true),
            (".a.example", "https://a.example", true),
            (".a.example", "https://b.a.example", false),
            ("*.a.example", "https://b.a.example", false),
            ("x, A.Example:5000", "https://a.example:5000", false),
            ("a.example:5000", "https://a.example", true),
            ("10.0.0.0/8", "https://10.1.2.3", false),
            ("10.0.0.0/8", "https://11.1.2.3", true),
            ("0.0.0.0/0", "https://11.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:5", false),
            ("10.1.2.3:6", "https://10.1.2.3:5", true),
            ("2001:db8::/32", "https://[2001:db8:1::1]", false),
            ("::/0", "https://[2001:db8:1::1]", false),
            ("2001:db8::1", "https://[2001:db8::2]", true),
        ] {
            assert_eq!(uses_proxy(no_proxy, url), proxied, "{no_proxy} {url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
        let environment = Environment::empty("/").with("HTTPS_PROXY", "gopher://user:hunter2@host");
        let origin = Origin::new(Scheme::Https, "x.io").unwrap();
        let message = Proxies::of(&environment).choose(&origin).unwrap_err().to_string();
        assert!(message.contains("\"host\"") && !message.contains("hunter2"), "{message}");
    }
}
