//! Options as getopt_long(3) of the GNU C library takes them: in any order among the operands,
//! long ones also cut short, and its messages.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// An option that a program has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<K> {
    /// Its name without dashes; of one byte, a short option.
    pub(super) name: &'static str,
    pub(super) takes_value: bool,
    pub(super) key: K,
}

/// What is wrong with an option, in getopt's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Its value is missing.
    NoValue(String),
    /// Anything else.
    Other(String),
}

/// Goes through arguments.
pub(super) struct Getopt<'a, K> {
    argv0: &'a OsStr,
    known: &'a [Known<K>],
    arguments: std::vec::IntoIter<OsString>,
    operands: Vec<OsString>,
    /// What is left of an argument with short options.
    shorts: Vec<u8>,
    /// Whether options end at the first operand.
    is_strict: bool,
}

impl<'a, K: Copy> Getopt<'a, K> {
    pub(super) fn new(argv0: &'a OsStr, known: &'a [Known<K>], arguments: Vec<OsString>) -> Self {
        let is_strict = std::env::var_os("POSIXLY_CORRECT").is_some();
        Self {
            argv0,
            known,
            arguments: arguments.into_iter(),
            operands: Vec::new(),
            shorts: Vec::new(),
            is_strict,
        }
    }

    /// The next option with its value.
    pub(super) fn next(&mut self) -> Option<Result<(K, OsString), Problem>> {
        if !self.shorts.is_empty() {
            return Some(self.short());
        }
        loop {
            let argument = self.arguments.next()?;
            match argument.as_bytes() {
                b"--" => {
                    self.operands.extend(self.arguments.by_ref());
                    return None;
                }
                [b'-', b'-', long @ ..] if self.has_long() => return Some(self.long(long)),
                [b'-', shorts @ ..] if !shorts.is_empty() => {
                    self.shorts = shorts.to_vec();
                    return Some(self.short());
                }
                _ => {
                    self.operands.push(argument);
                    if self.is_strict {
                        self.operands.extend(self.arguments.by_ref());
                        return None;
                    }
                }
            }
        }
    }

    /// What is no option, after [`next`](Self::next) has come to the end.
    pub(super) fn operands(self) -> Vec<OsString> {
        self.operands
    }

    fn has_long(&self) -> bool {
        self.known.iter().any(|known| known.name.len() > 1)
    }

    fn long(&mut self, text: &[u8]) -> Result<(K, OsString), Problem> {
        let mut parts = text.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let argv0 = self.argv0.display();
        let shown = String::from_utf8_lossy(name);
        let other = |what: String| Problem::Other(format!("{argv0}: {what}"));
        let candidates: Vec<_> = self
            .known
            .iter()
            .filter(|known| known.name.len() > 1 && known.name.as_bytes().starts_with(name))
            .collect();
        let exact = candidates.iter().find(|known| known.name.as_bytes() == name);
        let known = match (exact, &candidates[..]) {
            (Some(known), _) | (None, [known]) => *known,
            (None, []) => {
                return Err(other(format!("unrecognized option '--{}'", String::from_utf8_lossy(text))));
            }
            (None, several) => {
                let names: String = several.iter().map(|known| format!(" '--{}'", known.name)).collect();
                return Err(other(format!(
                    "option '--{}' is ambiguous; possibilities:{names}",
                    String::from_utf8_lossy(text)
                )));
            }
        };
        let name = if exact.is_some() { shown } else { known.name.into() };
        match (known.takes_value, value) {
            (false, Some(_)) => Err(other(format!("option '--{name}' doesn't allow an argument"))),
            (false, None) => Ok((known.key, OsString::new())),
            (true, Some(value)) => Ok((known.key, OsString::from_vec(value.to_vec()))),
            (true, None) => match self.arguments.next() {
                Some(value) => Ok((known.key, value)),
                None => Err(Problem::NoValue(format!("{argv0}: option '--{name}' requires an argument"))),
            },
        }
    }

    fn short(&mut self) -> Result<(K, OsString), Problem> {
        let letter = self.shorts.remove(0);
        let argv0 = self.argv0.display();
        let shown = String::from_utf8_lossy(&[letter]).into_owned();
        let Some(known) = self.known.iter().find(|known| known.name.as_bytes() == [letter]) else {
            return Err(Problem::Other(format!("{argv0}: invalid option -- '{shown}'")));
        };
        if !known.takes_value {
            return Ok((known.key, OsString::new()));
        }
        let value = if self.shorts.is_empty() {
            self.arguments.next()
        } else {
            Some(OsString::from_vec(std::mem::take(&mut self.shorts)))
        };
        let missing = || Problem::NoValue(format!("{argv0}: option requires an argument -- '{shown}'"));
        value.map(|value| (known.key, value)).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Known<char>; 5] = [
        Known { name: "min-version", takes_value: true, key: 'm' },
        Known { name: "print-digest", takes_value: false, key: 'p' },
        Known { name: "print-digest-only", takes_value: false, key: 'o' },
        Known { name: "h", takes_value: false, key: 'h' },
        Known { name: "t", takes_value: true, key: 't' },
    ];

    /// Options as `m=3 p`, then operands, or the problem.
    fn taken(arguments: &[&str]) -> Result<(String, Vec<String>), Problem> {
        let arguments = arguments.iter().map(OsString::from).collect();
        let mut getopt = Getopt::new(OsStr::new("prog"), &KNOWN, arguments);
        getopt.is_strict = false;
        let mut options = Vec::new();
        while let Some(option) = getopt.next() {
            let (key, value) = option?;
            options.push(if value.is_empty() {
                key.to_string()
            } else {
                format!("{key}={}", value.display())
            });
        }
        let operands = getopt.operands().into_iter().map(|operand| operand.into_string().unwrap());
        Ok((options.join(" "), operands.collect()))
    }

    #[test]
    fn options_may_stand_anywhere_be_cut_short_and_have_their_values_in_two_ways() {
        let (options, operands) =
            taken(&["a", "--min-version=3", "-", "--mi", "4", "-ht", "x", "-ty", "b"]).unwrap();
        assert_eq!(options, "m=3 m=4 h t=x t=y");
        assert_eq!(operands, ["a", "-", "b"]);
        assert_eq!(taken(&["--print-digest", "--", "--min-version"]).unwrap().1, ["--min-version"]);
        assert_eq!(taken(&["--print-digest-o"]).unwrap().0, "o");
    }

    #[test]
    fn problems_are_told_in_the_words_of_the_c_library() {
        let other = |text: &str| Err(Problem::Other(format!("prog: {text}")));
        let no_value = |text: &str| Err(Problem::NoValue(format!("prog: {text}")));
        assert_eq!(taken(&["--bogus=1"]), other("unrecognized option '--bogus=1'"));
        assert_eq!(
            taken(&["--print"]),
            other("option '--print' is ambiguous; possibilities: '--print-digest' '--print-digest-only'")
        );
        assert_eq!(taken(&["--print-digest=1"]), other("option '--print-digest' doesn't allow an argument"));
        assert_eq!(taken(&["--min"]), no_value("option '--min-version' requires an argument"));
        assert_eq!(taken(&["-x"]), other("invalid option -- 'x'"));
        assert_eq!(taken(&["-t"]), no_value("option requires an argument -- 't'"));
    }
}
