//! HTML, written from the front to the back.

use std::fmt::Write;

use sealpack_format::text::acts;

/// An element's attributes: names from the program, values from anywhere.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// A document, or a part of one. Only what is `'static` becomes markup; whatever else is written goes through
/// [`escape`].
#[derive(Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// All that was written.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// The beginning of an element; alone for one that has no end, such as `meta`. An attribute without a value is left out.
    pub(crate) fn open(&mut self, element: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(element);
        for (name, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// An element with what `inside` writes.
    pub(crate) fn within(
        &mut self,
        element: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(element, attributes);
        inside(self);
        self.0.push_str("</");
        self.0.push_str(element);
        self.0.push('>');
    }

    /// An element with a text.
    pub(crate) fn element(&mut self, element: &'static str, attributes: Attributes<'_>, text: &str) {
        self.within(element, attributes, |markup| markup.text(text));
    }

    /// A text.
    pub(crate) fn text(&mut self, text: &str) {
        escape(&mut self.0, text);
    }

    /// What somebody else has named, in whichever direction it is written: what is around it keeps its own.
    pub(crate) fn name(&mut self, name: &str) {
        self.element("bdi", &[("class", "name")], name);
    }

    /// A line end, for who reads the source.
    pub(crate) fn line(&mut self) {
        self.0.push('\n');
    }

    /// The program's own text, as it is.
    pub(crate) fn verbatim(&mut self, text: &'static str) {
        self.0.push_str(text);
    }
}

/// Adds a text that is only seen, between tags and in the quotes of attributes: no character of it ends either, or acts
/// upon those around it. Such are shown by their numbers.
pub(crate) fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ if acts(character) => {
                write!(html, "{}", character.escape_default()).expect("a text takes all that is written");
            }
            _ => html.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = String::new();
        escape(&mut html, text);
        html
    }

    #[test]
    fn no_character_of_a_text_ends_an_element_or_an_attribute() {
        assert_eq!(
            escaped("</script><b a='x' b=\"y\">&amp;"),
            "&lt;/script&gt;&lt;b a=&#39;x&#39; b=&quot;y&quot;&gt;&amp;amp;"
        );
        for character in (0..=0xffffu32).filter_map(char::from_u32) {
            let html = escaped(&format!("a{character}b"));
            assert!(!html.contains(['<', '>', '"', '\'']), "{character:?}: {html}");
            assert!(!html.chars().any(acts), "{character:?}: {html}");
        }
    }

    #[test]
    fn what_turns_the_direction_of_writing_is_shown_as_a_number_and_writing_is_left_alone() {
        assert_eq!(escaped("a\u{202e}b\nc\u{0}"), "a\\u{202e}b\\nc\\u{0}");
        assert_eq!(escaped("日本語 עברית العربية 🦀"), "日本語 עברית العربية 🦀");
    }

    #[test]
    fn elements_end_where_they_began() {
        let mut markup = Markup::default();
        markup.within("p", &[("class", "\"x")], |markup| markup.name("<i>"));
        assert_eq!(markup.into_text(), "<p class=\"&quot;x\"><bdi class=\"name\">&lt;i&gt;</bdi></p>");
    }
}
