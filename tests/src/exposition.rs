//! Prometheus' text format (version 0.0.4, <https://prometheus.io/docs/instrumenting/exposition_formats/>), read strictly,
//! and the conventions for names (<https://prometheus.io/docs/practices/naming/>).

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// The labels of a number.
pub type Labels = BTreeMap<String, String>;

/// What a program says of itself in that format.
#[derive(Debug, Default)]
pub struct Exposition {
    samples: Vec<(String, Labels, f64)>,
}

/// The kind of metric that lines are about.
struct Family<'t> {
    name: &'t str,
    kind: Option<&'t str>,
}

impl Exposition {
    /// Reads a text.
    ///
    /// # Errors
    /// If it is not in that format, or a name is not as the conventions say.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
        let (mut found, mut families, mut family) = (Self::default(), BTreeSet::new(), None);
        for line in text.lines() {
            let about = || format!("in line {line:?}");
            match line.strip_prefix("# ") {
                Some(comment) => {
                    family = Some(begin(comment, family, &mut families).with_context(about)?);
                }
                None => {
                    let family = family.as_ref().context("a number before its kind").with_context(about)?;
                    let sample = sample(line, family).with_context(about)?;
                    let is_new =
                        !found.samples.iter().any(|other| (&other.0, &other.1) == (&sample.0, &sample.1));
                    ensure!(is_new, "{line:?} is there twice");
                    found.samples.push(sample);
                }
            }
        }
        Ok(found)
    }

    /// The one number of that name with these labels, and maybe others.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let found = self.all(name, labels);
        ensure!(found.len() == 1, "{} of {name} {labels:?} in {:#?}", found.len(), self.samples);
        Ok(found[0].1)
    }

    /// All numbers of that name with these labels, and maybe others.
    #[must_use]
    pub fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(&Labels, f64)> {
        let has = |all: &Labels| {
            labels.iter().all(|(label, value)| all.get(*label).is_some_and(|other| other == value))
        };
        let of_name = self.samples.iter().filter(|(other, all, _)| other == name && has(all));
        of_name.map(|(_, labels, value)| (labels, *value)).collect()
    }
}

/// A comment: it begins a kind, or says of which type the one is that has begun.
fn begin<'t>(
    comment: &'t str,
    before: Option<Family<'t>>,
    families: &mut BTreeSet<&'t str>,
) -> Result<Family<'t>> {
    let mut words = comment.splitn(3, ' ');
    let (what, name, rest) =
        (words.next(), words.next().context("no name")?, words.next().context("no more")?);
    match (what, before) {
        (Some("HELP"), _) => {
            check_name(name)?;
            ensure!(families.insert(name), "{name} begins twice");
            ensure!(rest.ends_with('.'), "the help is no sentence");
            Ok(Family { name, kind: None })
        }
        (Some("TYPE"), Some(Family { name: begun, kind: None })) if begun == name => {
            ensure!(["counter", "gauge", "histogram"].contains(&rest), "{rest} is no type");
            ensure!((rest == "counter") == name.ends_with("_total"), "{name} is a {rest}");
            Ok(Family { name, kind: Some(rest) })
        }
        _ => bail!("neither a HELP nor the TYPE behind it"),
    }
}

fn sample(line: &str, family: &Family<'_>) -> Result<(String, Labels, f64)> {
    let end = line.find(['{', ' ']).context("no value")?;
    let (name, rest) = line.split_at(end);
    let kind = family.kind.context("no TYPE before it")?;
    let suffix = name.strip_prefix(family.name).context("it is of another kind")?;
    let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    ensure!(suffixes.contains(&suffix), "{suffix:?} behind the name of a {kind}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = value.strip_prefix(' ').context("no space before the value")?;
    Ok((name.to_owned(), labels, value.parse()?))
}

/// Labels up to the brace that ends them, and what is behind it.
fn labels(mut rest: &str) -> Result<(Labels, &str)> {
    let mut found = Labels::new();
    loop {
        let (name, text) = rest.split_once("=\"").context("no label")?;
        ensure!(is_word(name) && !name.starts_with("__"), "{name:?} is no label's name");
        let (value, behind) = quoted(text)?;
        ensure!(found.insert(name.to_owned(), value).is_none(), "{name} twice");
        match (behind.strip_prefix(','), behind.strip_prefix('}')) {
            (Some(more), _) => rest = more,
            (_, Some(behind)) => return Ok((found, behind)),
            _ => bail!("{behind:?} behind a label"),
        }
    }
}

/// A text up to the quote that ends it, and what is behind that.
fn quoted(text: &str) -> Result<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('"' | '\\'))) => escaped,
                other => bail!("{other:?} behind a backslash"),
            }),
            character => value.push(character),
        }
    }
    bail!("no end of {text:?}")
}

/// Names are of this project, and units the basic ones.
fn check_name(name: &str) -> Result<()> {
    ensure!(is_word(name) && name.starts_with("sealpack_"), "{name:?} is no name of a metric of Sealpack's");
    let other_units = ["ms", "milliseconds", "minutes", "kb", "kilobytes", "megabytes", "percent"];
    ensure!(!name.split('_').any(|word| other_units.contains(&word)), "{name} has not the basic unit");
    Ok(())
}

fn is_word(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    const KIND: &str = "# HELP sealpack_a A.\n# TYPE sealpack_a gauge\n";

    #[test]
    fn what_is_as_the_format_says_is_read_and_nothing_else() {
        let good = format!("{KIND}sealpack_a{{x=\"1\\\"\\\\\\n\",y=\"\"}} 2\nsealpack_a{{x=\"2\"}} 3\n");
        let read = Exposition::parse(&good).unwrap();
        assert_eq!(read.value("sealpack_a", &[("x", "1\"\\\n")]).unwrap().to_string(), "2");
        assert!(read.value("sealpack_a", &[]).is_err() && read.value("sealpack_b", &[]).is_err());
        for bad in [
            "sealpack_a 1\n".to_owned(),
            format!("{KIND}sealpack_a 1"),
            format!("{KIND}sealpack_a 1\nsealpack_a 2\n"),
            format!("{KIND}sealpack_b 1\n"),
            format!("{KIND}sealpack_a{{x=\"1}} 1\n"),
            format!("{KIND}sealpack_a{{X=\"1\"}} 1\n"),
            format!("{KIND}sealpack_a one\n"),
            format!("{KIND}{KIND}"),
            KIND.replace("gauge", "counter"),
            KIND.replace("sealpack_a", "other_a"),
            KIND.replace("sealpack_a", "sealpack_a_ms"),
        ] {
            assert!(Exposition::parse(&bad).is_err(), "{bad}");
        }
    }
}
