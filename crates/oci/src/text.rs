//! Texts of others, in messages.

/// The start of a text of unknown origin, without what could play with a terminal.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let visible = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    visible.take(limit).collect::<String>().trim().to_owned()
}
