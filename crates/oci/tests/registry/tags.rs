//! The tags of a repository.

use sealpack_test_registry::{Fault, Registry};

use super::*;

fn tags(registry: &Registry, reference: &str) -> Result<Vec<String>> {
    source(registry, reference).tags()
}

#[test]
fn all_pages_of_tags_are_read_sorted_and_each_tag_once() {
    let registry = Registry::start();
    for number in 0..7 {
        registry.put_image("app", &format!("v{number}"), &image());
    }
    registry.put_image("other", "latest", &image());
    let all: Vec<String> = (0..7).map(|number| format!("v{number}")).collect();
    assert_eq!(tags(&registry, "app:1").unwrap(), all);
    assert_eq!(registry.count("/tags/list"), 1);
    registry.set_page_size(3);
    assert_eq!(tags(&registry, "app").unwrap(), all);
    assert_eq!(registry.count("/tags/list"), 1 + 3);
    assert_eq!(tags(&registry, "other").unwrap(), ["latest"]);
    let error = tags(&registry, "nosuch").unwrap_err().to_string();
    assert!(error.contains("nosuch/tags/list"), "{error}");
}

#[test]
fn what_is_no_list_of_tags_is_said_to_be_none() {
    let registry = Registry::start();
    registry.put_image("app", "1", &image());
    for (body, wanted) in [
        (r#"{"name":"app","tags":["1\\nevil:2"]}"#, "is no tag"),
        (r#"{"name":"app","tags":["a/b"]}"#, "\"a/b\" is no tag"),
        (r#"{"name":"app","tags":[""]}"#, "\"\" is no tag"),
        ("<html>", "the list of tags at "),
    ] {
        registry.clear_faults();
        registry.fault(Fault::answer("/tags/list", 200, ("Content-Type", "application/json"), body));
        let error = tags(&registry, "app").unwrap_err().to_string();
        assert!(error.contains(wanted), "{body}: {error}");
    }
    registry.clear_faults();
    registry.fault(Fault::answer(
        "/tags/list",
        200,
        ("Content-Type", "application/json"),
        r#"{"tags":null}"#,
    ));
    assert_eq!(tags(&registry, "app").unwrap(), [""; 0], "Go writes an empty list so");
}

#[test]
fn a_list_without_end_and_one_that_goes_on_elsewhere_are_refused() {
    let registry = Registry::start();
    registry.put_image("app", "1", &image());
    let page = |link: &str| {
        Fault::answer("/tags/list", 200, ("Link", &format!("<{link}>; rel=\"next\"")), r#"{"tags":["1"]}"#)
            .times(usize::MAX)
    };
    registry.fault(page("/v2/app/tags/list?last=1"));
    let error = tags(&registry, "app").unwrap_err().to_string();
    assert!(error.contains("more than 1000 pages of tags"), "{error}");
    registry.clear_faults();
    registry.fault(page("http://192.0.2.1/v2/app/tags/list"));
    let error = tags(&registry, "app").unwrap_err().to_string();
    assert!(error.contains("at another place"), "{error}");
}
