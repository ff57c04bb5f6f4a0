//! What images share: a bar for each, of its layers, as long as these are large.

use std::collections::BTreeMap;

use sealpack_format::text::{count, size};

use crate::markup::Markup;
use crate::model::{Image, Page};
use crate::table::{Cell, details, short, table};

/// How many layers have letters and colours of their own.
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The colours in style.css.
const COLOURS: usize = 6;
/// A letter has no room on less, in percent of a bar.
const LETTER_MIN_PERCENT: f64 = 2.5;

pub(crate) fn section(markup: &mut Markup, page: &Page) {
    let letters = letters(&page.images);
    summary(markup, page);
    let largest = page.images.iter().map(length).max().unwrap_or(0).max(1);
    markup.within("div", &[("class", "bars")], |markup| {
        page.images.iter().for_each(|image| bar(markup, image, &letters, largest));
    });
    markup.element(
        "p",
        &[("class", "dim")],
        "Each bar is an image, and each piece a layer, the lowest at the left, as wide as what it takes. Layers with the same \
         letter are the same one; the store has it once.",
    );
    if page.images.len() > 1 {
        details(markup, "Which images have how much in common", |markup| pairs(markup, page));
    }
    details(markup, "All layers as a table", |markup| layers(markup, page, &letters));
}

/// What one has for all the others.
fn summary(markup: &mut Markup, page: &Page) {
    let (own, shared) = (page.together.own_bytes, page.together.shared_bytes);
    let apart: u64 = page.images.iter().map(|image| image.size_bytes).sum();
    let together = own + shared;
    markup.within("dl", &[("class", "figures")], |markup| {
        let saved = apart.saturating_sub(together);
        for (title, bytes) in
            [("on the disk, together", together), ("each kept alone", apart), ("saved by sharing", saved)]
        {
            markup.within("div", &[], |markup| {
                markup.element("dt", &[], title);
                markup.element("dd", &[], &size(bytes));
            });
        }
    });
    markup.line();
}

/// The letters of the layers that several images have, by diff ID, in the order in which they are met.
fn letters(images: &[Image]) -> BTreeMap<&str, usize> {
    let mut number: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order = Vec::new();
    for image in images {
        let mut own: Vec<&str> = image.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let seen = order.len();
        own.retain(|layer| !order[seen..].contains(layer));
        for layer in own {
            *number.entry(layer).or_default() += 1;
            if !order.contains(&layer) {
                order.push(layer);
            }
        }
    }
    let shared = order.into_iter().filter(|layer| number.get(layer).is_some_and(|number| *number > 1));
    shared.take(LETTERS.len()).zip(0..).collect()
}

fn length(image: &Image) -> u64 {
    image.layers.iter().map(|layer| layer.bytes).sum()
}

fn letter(letters: &BTreeMap<&str, usize>, layer: &str) -> Option<(String, usize)> {
    let place = letters.get(layer)?;
    Some((char::from(*LETTERS.get(*place)?).to_string(), place % COLOURS))
}

fn bar(markup: &mut Markup, image: &Image, letters: &BTreeMap<&str, usize>, largest: u64) {
    let shared = image.layers.iter().filter(|layer| letters.contains_key(layer.diff_id.as_str())).count();
    let names = image.names.join(", ");
    let label = format!(
        "{names}: {}, {} of them in other images here too; {} in all, {} of its own",
        count(image.layers.len() as u64, "layer"),
        shared,
        size(image.size_bytes),
        size(image.own_bytes)
    );
    markup.within("div", &[("class", "bar")], |markup| {
        markup.within("p", &[], |markup| {
            markup.name(&names);
            markup.element("span", &[("class", "dim")], &format!(" {}", size(image.size_bytes)));
        });
        let drawing = [
            ("class", "layers"),
            ("width", "100%"),
            ("height", "30"),
            ("role", "img"),
            ("aria-label", &label),
        ];
        markup.within("svg", &drawing, |markup| pieces(markup, image, letters, largest));
    });
    markup.line();
}

fn pieces(markup: &mut Markup, image: &Image, letters: &BTreeMap<&str, usize>, largest: u64) {
    let mut before = 0;
    for (layer, number) in image.layers.iter().zip(1..) {
        let percent = |bytes: u64| bytes as f64 / largest as f64 * 100.0;
        let (x, width) = (percent(before), percent(layer.bytes));
        before += layer.bytes;
        let letter = letter(letters, &layer.diff_id);
        let class = match &letter {
            Some((_, colour)) => format!("piece shared{colour}"),
            None => "piece own".to_owned(),
        };
        let (at, wide) = (format!("{x:.3}%"), format!("{width:.3}%"));
        let shape = [("class", class.as_str()), ("x", &at), ("y", "0"), ("width", &wide), ("height", "30")];
        markup.within("rect", &shape, |markup| {
            let whose = letter
                .as_ref()
                .map_or("no other image here has it".to_owned(), |(letter, _)| format!("shared as {letter}"));
            markup.element("title", &[], &format!("layer {number}: {}, {whose}", size(layer.bytes)));
        });
        if let Some((letter, _)) = letter.filter(|_| width > LETTER_MIN_PERCENT) {
            let middle = format!("{:.3}%", x + width / 2.0);
            markup.element(
                "text",
                &[("class", "letter"), ("x", &middle), ("y", "20"), ("text-anchor", "middle")],
                &letter,
            );
        }
    }
}

fn pairs(markup: &mut Markup, page: &Page) {
    let name = |place: usize| page.images.get(place).map(|image| image.names.join(", ")).unwrap_or_default();
    let rows: Vec<Vec<Cell>> = page
        .pairs
        .iter()
        .map(|pair| {
            vec![
                Cell::Name(name(pair.places[0])),
                Cell::Name(name(pair.places[1])),
                Cell::Number(pair.layers.to_string()),
                Cell::Number(pair.objects.to_string()),
                Cell::Number(size(pair.bytes)),
            ]
        })
        .collect();
    table(markup, "What two images have in common", &["One", "Other", "Layers", "Objects", "Bytes"], &rows);
    let number = page.images.len();
    if page.pairs.len() < number * (number - 1) / 2 {
        markup.element("p", &[("class", "dim")], "Of so many images not all pairs are compared.");
    }
}

fn layers(markup: &mut Markup, page: &Page, letters: &BTreeMap<&str, usize>) {
    for image in &page.images {
        let row = |(layer, number): (&crate::model::Layer, u64)| {
            let elsewhere = match layer.also_in.as_slice() {
                [] => String::new(),
                [name] => name.clone(),
                [name, more @ ..] => format!("{name} and {} more", more.len()),
            };
            vec![
                Cell::Number(number.to_string()),
                Cell::Text(letter(letters, &layer.diff_id).map(|(letter, _)| letter).unwrap_or_default()),
                Cell::Number(size(layer.bytes)),
                Cell::Number(size(layer.blob_bytes)),
                Cell::Code(short(&layer.diff_id)),
                Cell::Code(layer.pack.as_deref().map(short).unwrap_or_default()),
                Cell::Name(elsewhere),
            ]
        };
        let rows: Vec<Vec<Cell>> = image.layers.iter().zip(1..).map(row).collect();
        let header = [
            "Layer",
            "Letter",
            "Takes",
            "Fetched",
            "Diff ID",
            "Pack's root hash",
            "Also in, elsewhere in the store",
        ];
        table(markup, &format!("Layers of {}", image.names.join(", ")), &header, &rows);
    }
}
