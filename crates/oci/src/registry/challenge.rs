//! `WWW-Authenticate` headers (RFC 9110, sections 11.3 and 11.6.1).

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

/// The challenges of all the headers of an answer, as far as they can be read. Several headers are as good as one with
/// commas between them (RFC 9110, section 5.3).
pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for header in headers {
        let mut rest = Some(header);
        while let Some(text) = rest {
            rest = next(text, &mut challenges);
        }
    }
    challenges
}

/// Reads a scheme with what may be its token68, or a parameter, from the start of `text` and gives what is behind it.
fn next<'a>(text: &'a str, challenges: &mut Vec<Challenge>) -> Option<&'a str> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    if text.is_empty() {
        return None;
    }
    let (word, rest) = split_at_end(text, is_token);
    if word.is_empty() {
        // Nothing of the grammar's: the next one may be again.
        return text.split_once(',').map(|(_, rest)| rest);
    }
    let Some(value) = skip_blanks(rest).strip_prefix('=') else {
        challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
        return Some(skip_token68(rest));
    };
    let value = skip_blanks(value);
    let (value, rest) = match value.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        // Some leave the quotes around a URL away, though it is no token.
        None => {
            let (value, rest) = split_at_end(value, |letter| !matches!(letter, ' ' | '\t' | ','));
            (value.to_owned(), rest)
        }
    };
    if let Some(challenge) = challenges.last_mut() {
        challenge.parameters.push((word.to_ascii_lowercase(), value));
    }
    Some(rest)
}

/// What is behind the token68 that follows a scheme (RFC 9110, section 11.2); all of `text` where there is none.
fn skip_token68(text: &str) -> &str {
    let is_token68 = |letter: char| letter.is_ascii_alphanumeric() || "-._~+/".contains(letter);
    let (token, rest) = split_at_end(skip_blanks(text), is_token68);
    let rest = skip_blanks(rest.trim_start_matches('='));
    if token.is_empty() || !(rest.is_empty() || rest.starts_with(',')) { text } else { rest }
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The letters from the start on for which `belongs` holds, and the rest.
fn split_at_end(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|letter| !belongs(letter)).unwrap_or(text.len()))
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

    /// A token68 was read as a scheme and what followed it was lost, the Bearer challenge with it.
    #[test]
    fn what_other_schemes_have_in_place_of_parameters_is_passed_over() {
        for header in [
            r#"Negotiate YII/a+b~c.d==, Bearer realm="https://x",service=y"#,
            r#"Negotiate YII=,Bearer realm="https://x",service=y"#,
            r#"NTLM TlRMTVNTUAAC , Bearer realm="https://x", service="y""#,
            r#"Negotiate , , Bearer   realm = "https://x" ,	service	=	y"#,
            r#"Basic realm="a \"quoted\", name=x", charset="UTF-8", bEaReR REALM="https://x",Service="y""#,
            r#"Digest qop="auth, auth-int", algorithm=SHA-256, Bearer realm=https://x, service=y"#,
            r#"@@@, Bearer realm="https://x" service="y""#,
        ] {
            let challenges = parse([header].into_iter());
            let bearer = challenges.iter().find(|challenge| challenge.scheme == "bearer").unwrap();
            assert_eq!(bearer.parameter("realm"), Some("https://x"), "{header}");
            assert_eq!(bearer.parameter("service"), Some("y"), "{header}");
        }
        assert_eq!(parse(["Negotiate YII=", "Negotiate", "Basic realm"].into_iter()).len(), 3);
    }

    #[test]
    fn nonsense_gives_no_parameters_and_ends() {
        assert!(parse(["", "=\"x\"", "realm=\"x\"", "\u{1}"].into_iter()).is_empty());
        assert_eq!(one("Bearer realm=\"never closed").parameter("realm"), None);
        assert_eq!(one("Bearer realm=\"ends in escape\\").parameter("realm"), None);
    }
}
