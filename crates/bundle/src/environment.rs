//! The variables of a container's first process.

use crate::Error;

/// Where programs are looked for unless the image says (`PATH` of the OCI image specification's conversion, and of all
/// engines).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The image's variables, then those that are wanted, each name once, in the order in which they are met; and those that
/// programs count on, where nobody sets them.
pub(crate) fn variables(
    image: &[String],
    wanted: &[String],
    (home, terminal, hostname): (&str, bool, Option<&str>),
) -> Result<Vec<String>, Error> {
    let mut variables: Vec<(&str, String)> = Vec::new();
    for variable in image.iter().chain(wanted) {
        let name = name_of(variable)?;
        let value = variable.clone();
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => variables.push((name, value)),
        }
    }
    let usual = [
        ("PATH", Some(PATH)),
        ("HOME", Some(home)),
        ("TERM", terminal.then_some("xterm")),
        ("HOSTNAME", hostname),
    ];
    for (name, value) in usual {
        if let Some(value) = value.filter(|_| variables.iter().all(|(known, _)| *known != name)) {
            variables.push((name, format!("{name}={value}")));
        }
    }
    Ok(variables.into_iter().map(|(_, variable)| variable).collect())
}

/// The name of a variable. Images of old wrote a name alone for an empty value.
fn name_of(variable: &str) -> Result<&str, Error> {
    let name = variable.split_once('=').map_or(variable, |(name, _)| name);
    match name.is_empty() || variable.contains('\0') {
        true => Err(Error::BadVariable(variable.to_owned())),
        false => Ok(name),
    }
}

/// The value of the last variable of that name.
pub(crate) fn value_of<'a>(variables: &'a [String], name: &str) -> Option<&'a str> {
    variables.iter().rev().find_map(|variable| variable.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(image: &[&str], wanted: &[&str]) -> Result<Vec<String>, Error> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        variables(&owned(image), &owned(wanted), ("/root", true, Some("box")))
    }

    #[test]
    fn what_is_wanted_replaces_what_the_image_has_in_its_place() {
        let made = made(&["A=1", "PATH=/bin", "B=2"], &["A=x=y", "TERM=dumb", "C="]).unwrap();
        assert_eq!(made, ["A=x=y", "PATH=/bin", "B=2", "TERM=dumb", "C=", "HOME=/root", "HOSTNAME=box"]);
        assert_eq!(value_of(&made, "A"), Some("x=y"));
        assert_eq!(value_of(&made, "D"), None);
    }

    #[test]
    fn programs_find_a_path_and_a_home_where_the_image_has_none() {
        let made = variables(&[], &[], ("/", false, None)).unwrap();
        assert_eq!(made, [format!("PATH={PATH}"), "HOME=/".to_owned()]);
    }

    #[test]
    fn a_variable_without_a_name_is_refused() {
        for variable in ["=1", "", "A=\0"] {
            assert_eq!(made(&[], &[variable]), Err(Error::BadVariable(variable.to_owned())));
        }
    }
}
