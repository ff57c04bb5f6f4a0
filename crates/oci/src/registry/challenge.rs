//! `WWW-Authenticate` headers (RFC 9110, section 11.6.1).

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of the parameter `name`, which is in lower case.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges of all the headers of an answer, as far as they can be read.
pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        let mut rest = header;
        while let Some(remaining) = next(rest, &mut challenges) {
            rest = remaining;
        }
    }
    challenges
}

/// Reads a scheme or a parameter from the start of `text` and gives what is behind it.
fn next<'a>(text: &'a str, challenges: &mut Vec<Challenge>) -> Option<&'a str> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find(|character: char| !is_token(character)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return None;
    }
    let Some(value) = rest.trim_start_matches([' ', '\t']).strip_prefix('=') else {
        challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
        return Some(rest);
    };
    let value = value.trim_start_matches([' ', '\t']);
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let end = value.find(|character: char| !is_token(character)).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        }
    };
    challenges.last_mut()?.parameters.push((word.to_ascii_lowercase(), value));
    Some(rest)
}

/// The text up to the closing quote, and what is behind that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[position + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(header: &str) -> Challenge {
        let mut challenges = parse([header].into_iter());
        assert_eq!(challenges.len(), 1, "{challenges:?}");
        challenges.remove(0)
    }

    #[test]
    fn bearer_parameters_keep_commas_and_escapes_inside_quotes() {
        let challenge = one(
            r#"Bearer realm="https://auth.example/token?a=b",service="reg\"istry",scope="repository:a/b:pull,push",error=invalid"#,
        );
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.parameter("realm"), Some("https://auth.example/token?a=b"));
        assert_eq!(challenge.parameter("service"), Some("reg\"istry"));
        assert_eq!(challenge.parameter("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(challenge.parameter("error"), Some("invalid"));
    }

    #[test]
    fn several_challenges_in_one_or_more_headers_are_all_read() {
        let headers = [r#"Basic realm="a b", BEARER Realm = "https://x" , service=y"#, "Digest qop=auth"];
        let challenges = parse(headers.into_iter());
        let schemes: Vec<_> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes, ["basic", "bearer", "digest"]);
        assert_eq!(challenges[1].parameter("realm"), Some("https://x"));
        assert_eq!(challenges[1].parameter("service"), Some("y"));
    }

    #[test]
    fn nonsense_gives_no_parameters_and_ends() {
        assert!(parse(["", "=\"x\"", "realm=\"x\"", "\u{1}"].into_iter()).is_empty());
        assert_eq!(one("Bearer realm=\"never closed").parameter("realm"), None);
        assert_eq!(one("Bearer realm=\"ends in escape\\").parameter("realm"), None);
    }
}
