//! All images in one table.

use sealpack_format::text::{count, size};

use crate::markup::Markup;
use crate::model::{Image, Page};
use crate::table::{Cell, State, table};

const HEADER: [&str; 8] =
    ["Image", "Platform", "Kept in", "Size", "Own", "Sealed by", "Valid until", "The policy would deny"];

pub(crate) fn section(markup: &mut Markup, page: &Page) {
    let rows: Vec<_> = page.images.iter().map(row).collect();
    table(markup, "The images", &HEADER, &rows);
    markup.element(
        "p",
        &[("class", "dim")],
        "Own is what no other image here has. Valid until is the first day on which a certificate that counts runs out.",
    );
}

fn row(image: &Image) -> Vec<Cell> {
    vec![
        Cell::Name(image.names.join(", ")),
        Cell::Text(image.platform.clone()),
        Cell::Text(image.kept_in.clone()),
        Cell::Number(size(image.size_bytes)),
        Cell::Number(size(image.own_bytes)),
        sealed_by(image),
        until(image).map_or(Cell::Text("–".to_owned()), Cell::Day),
        denied(image),
    ]
}

/// Whose seal it has, and whether that counts.
fn sealed_by(image: &Image) -> Cell {
    let chain = &image.chain;
    let seal = match &chain.seal {
        None => return Cell::Badge(State::Note, "not sealed".to_owned()),
        Some(Err(_)) => return Cell::Badge(State::Bad, "damaged".to_owned()),
        Some(Ok(seal)) => seal,
    };
    let names = |counts: bool| {
        let of_kind = seal.signatures.iter().filter(|signature| signature.certificate.is_ok() == counts);
        let mut names: Vec<String> = of_kind
            .flat_map(|signature| match &signature.certificate {
                Ok(certificate) => certificate.names.clone(),
                Err(_) => vec![signature.signer.clone()],
            })
            .collect();
        names.sort();
        names.dedup();
        names.join(", ")
    };
    let counts = chain.judged.as_ref().is_ok_and(|judged| judged.iter().any(|judged| judged.sealed));
    match counts {
        true => Cell::Badge(State::Good, names(true)),
        false => Cell::Badge(
            State::Bad,
            format!("{}: does not count", names(false)).trim_start_matches(": ").to_owned(),
        ),
    }
}

/// The first day on which something runs out.
fn until(image: &Image) -> Option<String> {
    let seal = image.chain.seal.as_ref()?.as_ref().ok()?;
    let days = seal.signatures.iter().filter_map(|signature| signature.certificate.as_ref().ok());
    days.map(|certificate| certificate.until.clone()).min()
}

fn denied(image: &Image) -> Cell {
    let checked = match &image.checked {
        Ok(checked) => checked,
        Err(_) => return Cell::Badge(State::Bad, "not known".to_owned()),
    };
    let allows = |place: usize| checked.reasons.get(place).is_some_and(|reason| reason.allows);
    let denied = checked.files.iter().filter(|file| !allows(file.reason)).count();
    let all = count(checked.files.len() as u64, "file");
    match denied {
        0 => Cell::Badge(State::Good, format!("none of {all}")),
        _ => Cell::Badge(State::Bad, format!("{denied} of {all}")),
    }
}
