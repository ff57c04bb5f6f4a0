//! The page around what is on it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::markup::Markup;
use crate::model::Page;
use crate::{chain, changes, glance, host, policy, sharing};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A page as HTML, in UTF-8. It asks for nothing from anywhere.
#[must_use]
pub fn page(page: &Page) -> String {
    let mut markup = Markup::default();
    markup.verbatim("<!DOCTYPE html>\n");
    markup.within("html", &[("lang", "en")], |markup| {
        head(markup, page);
        markup.within("body", &[], |markup| {
            markup.element("a", &[("class", "skip"), ("href", "#main")], "Skip to the content");
            header(markup, page);
            markup.within("main", &[("id", "main")], |markup| sections(markup, page));
            footer(markup, page);
            // Last, when all is there that it works on.
            markup.within("script", &[], |markup| markup.verbatim(SCRIPT));
        });
    });
    markup.line();
    markup.into_text()
}

fn title(page: &Page) -> String {
    match page.images.as_slice() {
        [] => "This machine".to_owned(),
        [image] => image.names.join(", "),
        images => format!("{} images", images.len()),
    }
}

fn head(markup: &mut Markup, page: &Page) {
    let allowed = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        allowed(STYLE),
        allowed(SCRIPT)
    );
    markup.within("head", &[], |markup| {
        markup.open("meta", &[("charset", "utf-8")]);
        markup.open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
        markup.open("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
        markup.open("meta", &[("name", "color-scheme"), ("content", "light dark")]);
        markup.open("meta", &[("name", "referrer"), ("content", "no-referrer")]);
        markup.element("title", &[], &format!("{} – Sealpack report", title(page)));
        markup.within("style", &[], |markup| markup.verbatim(STYLE));
    });
    markup.line();
}

fn header(markup: &mut Markup, page: &Page) {
    markup.within("header", &[], |markup| {
        markup.element("p", &[("class", "kicker")], "Sealpack report");
        markup.within("h1", &[], |markup| markup.name(&title(page)));
        markup.within("p", &[("class", "dim")], |markup| {
            if let Some(made) = &page.made {
                markup.text(&format!("Made {made} UTC of the store "));
            } else {
                markup.text("Of the store ");
            }
            markup.name(&page.store);
        });
        markup.within("nav", &[("aria-label", "Sections")], |markup| {
            markup.within("ul", &[], |markup| {
                for (id, title) in contents(page) {
                    let target = format!("#{id}");
                    markup.within("li", &[], |markup| markup.element("a", &[("href", &target)], title));
                }
            });
        });
    });
    markup.line();
}

fn contents(page: &Page) -> Vec<(&'static str, &'static str)> {
    let of_images = [
        ("glance", "At a glance"),
        ("sharing", "What is shared"),
        ("chain", "From registry to kernel"),
        ("policy", "What a policy would do"),
        ("changes", "What changed"),
    ];
    let of_images = of_images.into_iter().filter(|_| !page.images.is_empty());
    of_images.chain(page.host.iter().map(|_| ("host", "This machine"))).collect()
}

fn sections(markup: &mut Markup, page: &Page) {
    for (id, title) in contents(page) {
        let label = format!("{id}-title");
        markup.within("section", &[("id", id), ("aria-labelledby", &label)], |markup| {
            markup.element("h2", &[("id", &label)], title);
            match id {
                "glance" => glance::section(markup, page),
                "sharing" => sharing::section(markup, page),
                "chain" => page.images.iter().for_each(|image| chain::of_image(markup, image)),
                "policy" => policy::section(markup, page),
                "changes" => changes::section(markup, &page.images),
                _ => page.host.iter().for_each(|host| host::section(markup, host)),
            }
        });
        markup.line();
    }
}

fn footer(markup: &mut Markup, page: &Page) {
    let made = format!("Made by sealpack {}. This page asks for nothing from anywhere.", page.version);
    markup.within("footer", &[], |markup| markup.text(&made));
}
