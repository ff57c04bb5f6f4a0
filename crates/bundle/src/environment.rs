//! The variables of a container's first process.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

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
    let mut variables: Vec<String> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for variable in image.iter().chain(wanted) {
        match places.entry(name_of(variable)?) {
            Entry::Occupied(place) => variables[*place.get()].clone_from(variable),
            Entry::Vacant(place) => {
                place.insert(variables.len());
                variables.push(variable.clone());
            }
        }
    }
    let usual = [
        ("PATH", Some(PATH)),
        ("HOME", Some(home)),
        ("TERM", terminal.then_some("xterm")),
        ("HOSTNAME", hostname),
    ];
    for (name, value) in usual {
        if let Some(value) = value.filter(|_| !places.contains_key(name)) {
            variables.push(format!("{name}={value}"));
        }
    }
    Ok(variables)
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

    /// Each was looked for among all before it: a config of some MB had a processor busy for minutes before anything was said.
    #[test]
    fn a_config_with_very_many_variables_is_read_at_once() {
        let many: Vec<String> = (0..400_000).map(|number| format!("V{number}=")).collect();
        let variables = variables(&many, &["V7=x".to_owned()], ("/", false, None)).unwrap();
        assert_eq!((variables.len(), variables[7].as_str()), (many.len() + 2, "V7=x"));
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
