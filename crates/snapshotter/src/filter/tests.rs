use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct Object(BTreeMap<String, String>);

impl Fields for Object {
    fn field(&self, path: &[String]) -> Option<&str> {
        self.0.get(&path.join(".")).map(String::as_str)
    }
}

fn matched(filter: &str, fields: &[(&str, &str)]) -> bool {
    let object = Object(fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    Filters::parse(&[filter.to_owned()]).unwrap().match_object(&object)
}

fn problem(filter: &str) -> String {
    Filters::parse(&[filter.to_owned()]).unwrap_err().to_string()
}

#[test]
fn every_selector_of_a_filter_must_match() {
    let fields = [("name", "a"), ("labels.containerd.io/snapshot.ref", "sha256:ab"), ("parent", "p/1/q")];
    let found = |filter| matched(filter, &fields);
    assert!(found(r#"labels."containerd.io/snapshot.ref"==sha256:ab,parent==p/1/q"#));
    assert!(found(r#"labels."containerd.io/snapshot.ref"=="sha256:ab", parent=="p/1/q""#));
    assert!(!found(r#"labels."containerd.io/snapshot.ref"==sha256:ab,parent==other"#));
    assert!(found("name"));
    assert!(found("name!=b,name@=a,name~=^a$"));
    assert!(found("name~=/^[a-b]$/") && found("name~=|^a|") && !found("name~=/b/"));
    assert!(found(""));
}

#[test]
fn what_an_object_has_not_is_equal_to_nothing() {
    assert!(!matched(r#"parent=="""#, &[("name", "a")]));
    assert!(matched("parent!=x", &[("name", "a")]));
    assert!(!matched("parent", &[("name", "a")]));
}

#[test]
fn one_of_several_filters_is_enough_and_none_lets_everything_through() {
    let object = Object([("name".to_owned(), "a".to_owned())].into());
    let parse = |filters: &[&str]| {
        let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
        Filters::parse(&filters).unwrap()
    };
    assert!(parse(&["name==b", "name==a"]).match_object(&object));
    assert!(!parse(&["name==b", "name==c"]).match_object(&object));
    assert!(parse(&[]).match_object(&object));
}

#[test]
fn a_filter_that_is_none_is_told_with_its_place() {
    assert_eq!(problem("name="), r#"filter "name=": one of == != ~= @= is expected here, at byte 4"#);
    assert_eq!(problem("name=="), r#"filter "name==": a value is expected here, at byte 6"#);
    assert_eq!(problem("==a"), r#"filter "==a": a field is expected here, at byte 0"#);
    assert_eq!(problem("a==b c"), r#"filter "a==b c": 'c' is not expected here, at byte 5"#);
    assert_eq!(problem("a,"), r#"filter "a,": a field is expected here, at byte 2"#);
    assert!(problem("a==\"b").contains("the closing \" is missing"));
    assert!(problem(r#"a=="\q""#).contains("\\q means nothing"));
    assert!(problem("a~=(").contains("no regular expression"));
}

#[test]
fn strings_have_the_escapes_of_go() {
    assert!(matched(r#"a=="\x41\u00e9\n\"\101""#, &[("a", "A\u{e9}\n\"A")]));
    assert!(problem(r#"a=="\xff""#).contains("not UTF-8"));
    assert!(problem(r#"a=="\ud800""#).contains("no character has this number"));
}

proptest! {
    #[test]
    fn any_value_in_quotes_is_found(value in "\\PC*") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let filter = format!("a==\"{quoted}\"");
        prop_assert!(matched(&filter, &[("a", &value)]));
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise_than_with_an_error(text in ".*") {
        _ = Filters::parse(&[text]);
    }
}
