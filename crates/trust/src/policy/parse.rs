//! Text to policy, as security/ipe/policy_parser.c and digest.c read it.

use std::fmt;

use super::{
    Action, Operation, Policy, PolicyName, PolicyNameError, Property, Rule, StatedDigest, Version, Word,
};

/// What keeps a text from being a policy, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct ParseError {
    /// The line, from 1. Both `\n` and `\r` end a line for the kernel; here `\r\n` counts once.
    pub line: usize,
    /// The byte in the line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a policy's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is nothing but comments and blanks.
    #[error("the policy is empty: its first line must be `policy_name=NAME policy_version=0.0.1`")]
    Empty,
    /// The first line is something else than it must be.
    #[error("{found} where `{expected}` must be: the first line is `policy_name=NAME policy_version=0.0.1`")]
    Header {
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: Quoted,
    },
    /// The first line goes on.
    #[error("{0} is too much: the first line has a policy's name and version only")]
    AfterHeader(Quoted),
    /// The name is one that the kernel could not show.
    #[error("{0}; give it another")]
    Name(#[from] PolicyNameError),
    /// The version has not three parts.
    #[error("a version is three numbers with dots between them, such as 0.0.1, not {0}")]
    VersionParts(Quoted),
    /// A part of the version is no number.
    #[error("{0} in the version is not a decimal number")]
    VersionNumber(Quoted),
    /// A part of the version is too large.
    #[error("{0} in the version is too large: the largest is 65535")]
    VersionRange(Quoted),
    /// A rule does not begin with its operation.
    #[error("{0} where `DEFAULT` or `op=OPERATION` must be: a rule begins with its operation")]
    RuleStart(Quoted),
    /// The second header.
    #[error("the policy has its name already: one file is one policy")]
    SecondHeader,
    /// An operation that the kernel does not know.
    #[error(
        "{0} is no operation: use EXECUTE, FIRMWARE, KMODULE, KEXEC_IMAGE, KEXEC_INITRAMFS, POLICY or X509_CERT, \
         in capitals"
    )]
    Operation(Quoted),
    /// Something in a rule that is no property.
    #[error(
        "{0} is no property: use boot_verified, dmverity_signature or fsverity_signature with =TRUE or =FALSE, \
         dmverity_roothash=sha256:HEX or fsverity_digest=sha256:HEX"
    )]
    Property(Quoted),
    /// A property that is TRUE or FALSE has another value.
    #[error("{0} can be TRUE or FALSE, in capitals, and nothing else")]
    Flag(&'static str),
    /// A digest without an algorithm.
    #[error("{0} needs the algorithm before the digest: {0}=sha256:HEX")]
    DigestAlgorithm(&'static str),
    /// A digest that is not hex.
    #[error("the digest of {0} is not an even number of hex digits")]
    DigestHex(&'static str),
    /// A rule that ends with something else than its action.
    #[error("{0} where `action=ALLOW` or `action=DENY` must be: a rule ends with its action, in capitals")]
    Action(Quoted),
    /// A rule about nothing.
    #[error(
        "the rule has no operation: put `op=EXECUTE` before the action, or `DEFAULT` for what no rule matches"
    )]
    NoOperation,
    /// A default with conditions.
    #[error("{0} cannot be in a DEFAULT line: a default has no conditions")]
    ConditionalDefault(Quoted),
    /// A second default of the same kind.
    #[error("there is a `{0}` line already; remove one")]
    SecondDefault(String),
    /// Operations of which nothing is said.
    #[error(
        "nothing is said of {0}: add `DEFAULT action=ALLOW` or `DEFAULT action=DENY`, or a DEFAULT line for each"
    )]
    NoDefault(Operations),
}

impl Problem {
    /// The error number that the kernel gives for it, by name.
    #[must_use]
    pub const fn kernel_errno(&self) -> &'static str {
        match self {
            Self::VersionNumber(_) | Self::DigestHex(_) => "EINVAL",
            Self::VersionRange(_) => "ERANGE",
            Self::Name(PolicyNameError::NotAFileName) => "EACCES",
            Self::Name(PolicyNameError::TooLong) => "ENAMETOOLONG",
            _ => "EBADMSG",
        }
    }
}

/// A piece of a policy for a message: odd bytes escaped, cut after 60 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(Box<[u8]>);

impl Quoted {
    fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..60) {
            None if self.0.is_empty() => f.write_str("nothing"),
            None => write!(f, "`{}`", self.0.escape_ascii()),
            Some(start) => write!(f, "`{}…`", start.escape_ascii()),
        }
    }
}

/// Some operations, for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations(Vec<Operation>);

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|operation| operation.name()).collect();
        f.write_str(&names.join(", "))
    }
}

impl Policy {
    /// Reads a policy as the kernel does. As for the kernel, `#` begins a comment anywhere, the
    /// first NUL ends the text, and words are separated by spaces and tabs only.
    ///
    /// # Errors
    /// Whatever the kernel would refuse, at the first place where it would. Also a name that
    /// securityfs cannot show, since the kernel does not take such a policy either.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, ParseError> {
        let text = text.as_ref();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut parser = Parser::default();
        let mut end = 1;
        for (line, bytes) in lines(text) {
            end = line;
            let words = words(bytes);
            if words.is_empty() {
                continue;
            }
            parser.line(&words).map_err(|(column, problem)| ParseError { line, column, problem })?;
        }
        let at_end = |problem| ParseError { line: end, column: 1, problem };
        parser.finish().map_err(at_end)
    }
}

/// A word of a line, with its column from 1.
type Placed<'a> = (usize, &'a [u8]);

/// What is wrong at a column.
type Failed = (usize, Problem);

/// The lines of a text with their numbers from 1.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let numbered = text.split(|byte| *byte == b'\n').zip(1..);
    numbered.flat_map(|(line, number)| line.split(|byte| *byte == b'\r').map(move |part| (number, part)))
}

/// The words of a line before its comment. The kernel takes more off a line's end than it takes
/// for a separator: `isspace` of include/linux/ctype.h, in which 0xa0 is a space.
fn words(line: &[u8]) -> Vec<Placed<'_>> {
    let is_space = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0);
    let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
    let end = line.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    let line = line.get(..end).unwrap_or_default();
    let mut column = 1;
    let mut words = Vec::new();
    for word in line.split(|byte| matches!(byte, b' ' | b'\t')) {
        if !word.is_empty() {
            words.push((column, word));
        }
        column += word.len() + 1;
    }
    words
}

/// A policy that is being read.
#[derive(Default)]
struct Parser {
    header: Option<(PolicyName, Version)>,
    default: Option<Action>,
    operation_defaults: [Option<Action>; Operation::ALL.len()],
    rules: Vec<Rule>,
}

impl Parser {
    fn line(&mut self, words: &[Placed<'_>]) -> Result<(), Failed> {
        if self.header.is_none() {
            self.header = Some(header(words)?);
            return Ok(());
        }
        match words {
            [(_, b"DEFAULT"), rest @ ..] => self.default_line(words, rest),
            _ => {
                self.rules.push(rule(words)?);
                Ok(())
            }
        }
    }

    fn default_line(&mut self, words: &[Placed<'_>], rest: &[Placed<'_>]) -> Result<(), Failed> {
        let (action, (column, what), operation) = match rest {
            [] => return Err((words[0].0, Problem::Action(Quoted::new(b"DEFAULT")))),
            [last] => (last, words[0], None),
            [first, .., last] => (last, *first, Some(operation(*first)?)),
        };
        let conditions = rest.get(1..rest.len() - 1).unwrap_or_default();
        for condition in conditions {
            property(*condition)?;
        }
        let action = self::action(*action)?;
        if let Some((column, condition)) = conditions.first() {
            return Err((*column, Problem::ConditionalDefault(Quoted::new(condition))));
        }
        let place = match operation {
            None => &mut self.default,
            Some(operation) => &mut self.operation_defaults[operation.index()],
        };
        if place.is_some() {
            let what = if operation.is_none() { String::new() } else { format!(" {}", Word::lossy(what)) };
            return Err((column, Problem::SecondDefault(format!("DEFAULT{what}"))));
        }
        *place = Some(action);
        Ok(())
    }

    fn finish(self) -> Result<Policy, Problem> {
        let (name, version) = self.header.ok_or(Problem::Empty)?;
        let missing: Vec<Operation> = Operation::ALL
            .into_iter()
            .filter(|operation| self.operation_defaults[operation.index()].is_none())
            .collect();
        if self.default.is_none() && !missing.is_empty() {
            return Err(Problem::NoDefault(Operations(missing)));
        }
        let Self { default, operation_defaults, rules, .. } = self;
        Ok(Policy { name, version, default, operation_defaults, rules })
    }
}

/// `policy_name=NAME policy_version=0.0.1`.
fn header(words: &[Placed<'_>]) -> Result<(PolicyName, Version), Failed> {
    let end = words.last().map_or(1, |(column, word)| column + word.len());
    let value = |index: usize, expected: &'static str| {
        let (column, word) = words.get(index).copied().unwrap_or((end, b""));
        match word.strip_prefix(expected.as_bytes()) {
            Some(value) if !value.is_empty() => Ok((column + expected.len(), value)),
            _ => Err((column, Problem::Header { expected, found: Quoted::new(word) })),
        }
    };
    let (column, name) = value(0, "policy_name=")?;
    let name = PolicyName::new(name).map_err(|error| (column, error.into()))?;
    let (column, text) = value(1, "policy_version=")?;
    let version = version(text).map_err(|problem| (column, problem))?;
    match words.get(2) {
        Some((column, word)) => Err((*column, Problem::AfterHeader(Quoted::new(word)))),
        None => Ok((name, version)),
    }
}

/// Three numbers with dots between them; the kernel's `kstrtou16` allows a `+` before each.
pub(super) fn version(text: &[u8]) -> Result<Version, Problem> {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let mut numbers = [0; 3];
    // The kernel reads the numbers as it goes: a bad one comes before a wrong number of them.
    for (number, part) in numbers.iter_mut().zip(&parts) {
        *number = version_number(part)?;
    }
    match (parts.len(), numbers) {
        (3, [major, minor, revision]) => Ok(Version { major, minor, revision }),
        _ => Err(Problem::VersionParts(Quoted::new(text))),
    }
}

fn version_number(part: &[u8]) -> Result<u16, Problem> {
    let digits = part.strip_prefix(b"+").unwrap_or(part);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Problem::VersionNumber(Quoted::new(part)));
    }
    // Only digits are left, so whatever does not parse is too large.
    let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| Problem::VersionRange(Quoted::new(part)))
}

/// `op=OPERATION PROPERTY… action=ACTION`.
fn rule(words: &[Placed<'_>]) -> Result<Rule, Failed> {
    let Some(([first @ .., last], (start, start_word))) = Some(words).zip(words.first()) else {
        return Err((1, Problem::NoOperation));
    };
    let Some((operation_word, properties)) = first.split_first() else {
        // A single word: only an action gets as far as being a rule about nothing.
        return Err(match action(*last) {
            Ok(_) => (*start, Problem::NoOperation),
            Err(_) => (*start, rule_start(start_word)),
        });
    };
    let operation = operation(*operation_word)?;
    let properties = properties.iter().map(|word| property(*word)).collect::<Result<_, _>>()?;
    Ok(Rule { operation, properties, action: action(*last)? })
}

/// What is wrong with the first word of a line that should be a rule.
fn rule_start(word: &[u8]) -> Problem {
    match word {
        _ if word.starts_with(b"policy_name=") => Problem::SecondHeader,
        _ if word.starts_with(b"op=") => Problem::Action(Quoted::new(b"")),
        _ => Problem::RuleStart(Quoted::new(word)),
    }
}

fn operation((column, word): Placed<'_>) -> Result<Operation, Failed> {
    let Some(name) = word.strip_prefix(b"op=") else { return Err((column, rule_start(word))) };
    Operation::from_name(name).ok_or_else(|| (column + 3, Problem::Operation(Quoted::new(name))))
}

fn action((column, word): Placed<'_>) -> Result<Action, Failed> {
    let name = word.strip_prefix(b"action=");
    let action = name.and_then(Action::from_name);
    action.ok_or_else(|| (column, Problem::Action(Quoted::new(word))))
}

fn property((column, word): Placed<'_>) -> Result<Property, Failed> {
    type Make<T> = fn(T) -> Property;
    const FLAGS: [(&str, Make<bool>); 3] = [
        ("boot_verified", Property::BootVerified),
        ("dmverity_signature", Property::DmveritySignature),
        ("fsverity_signature", Property::FsveritySignature),
    ];
    const DIGESTS: [(&str, Make<StatedDigest>); 2] =
        [("dmverity_roothash", Property::DmverityRoothash), ("fsverity_digest", Property::FsverityDigest)];
    let unknown = || (column, Problem::Property(Quoted::new(word)));
    let equals = word.iter().position(|byte| *byte == b'=').ok_or_else(unknown)?;
    let (key, value) = word.split_at(equals);
    let (value, at) = (value.get(1..).unwrap_or_default(), column + equals + 1);
    if let Some((name, make)) = FLAGS.iter().find(|(name, _)| name.as_bytes() == key) {
        return match value {
            b"TRUE" => Ok(make(true)),
            b"FALSE" => Ok(make(false)),
            _ => Err((at, Problem::Flag(name))),
        };
    }
    let (name, make) = DIGESTS.iter().find(|(name, _)| name.as_bytes() == key).ok_or_else(unknown)?;
    digest(value, name).map(make).map_err(|problem| (at, problem))
}

/// `ALGORITHM:HEX`, digits of either case.
fn digest(value: &[u8], key: &'static str) -> Result<StatedDigest, Problem> {
    let colon = value.iter().position(|byte| *byte == b':').ok_or(Problem::DigestAlgorithm(key))?;
    let (algorithm, hex) = value.split_at(colon);
    let bytes = from_hex(hex.get(1..).unwrap_or_default()).ok_or(Problem::DigestHex(key))?;
    let algorithm = Word::new(algorithm).ok_or(Problem::DigestAlgorithm(key))?;
    Ok(StatedDigest { algorithm, bytes })
}

/// The bytes that an even number of hex digits of either case stands for.
pub(super) fn from_hex(hex: &[u8]) -> Option<Box<[u8]>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    hex.chunks(2).map(byte).collect()
}

impl Word {
    fn lossy(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }
}
