//! From where an image is, and by whose word: a step for each thing that rests on the one before.

use sealpack_format::text::size;

use crate::markup::Markup;
use crate::model::{Certificate, Chain, Image, Sealed, Signature};
use crate::table::{Cell, State, badge, details, short, table};

pub(crate) fn of_image(markup: &mut Markup, image: &Image) {
    let chain = &image.chain;
    markup.within("article", &[], |markup| {
        markup.within("h3", &[], |markup| markup.name(&image.names.join(", ")));
        markup.within("ol", &[("class", "chain")], |markup| {
            origin(markup, image);
            contents(markup, chain);
            seal(markup, chain);
            rules(markup, chain);
            kernel(markup, chain);
        });
        if let Some(Ok(sealed)) = &chain.seal {
            details(markup, "All signatures as a table", |markup| signatures(markup, sealed));
        }
    });
    markup.line();
}

/// A step: how it is, what it is, and more about it.
fn step(markup: &mut Markup, state: State, word: &str, title: &str, inside: impl FnOnce(&mut Markup)) {
    markup.within("li", &[("class", state.class())], |markup| {
        markup.within("p", &[("class", "step")], |markup| {
            markup.element("strong", &[], title);
            markup.text(" ");
            badge(markup, state, word);
        });
        inside(markup);
    });
    markup.line();
}

/// A line of a step, with what others have named in the middle.
fn line(markup: &mut Markup, before: &str, name: &str, after: &str) {
    markup.within("p", &[], |markup| {
        markup.text(before);
        markup.name(name);
        markup.text(after);
    });
}

fn digest(markup: &mut Markup, title: &str, digest: &str) {
    markup.within("p", &[], |markup| {
        markup.text(title);
        markup.element("code", &[("class", "digest")], digest);
    });
}

fn origin(markup: &mut Markup, image: &Image) {
    let chain = &image.chain;
    step(markup, State::Good, "came", "Registry", |markup| {
        line(markup, "asked for as ", &chain.pulled_as, &format!(", came {} UTC", chain.pulled));
        digest(markup, "manifest ", &image.manifest);
        chain.index.iter().for_each(|index| digest(markup, "chosen from the index ", index));
    });
}

fn contents(markup: &mut Markup, chain: &Chain) {
    let (state, word) = match chain.failures.is_empty() {
        true => (State::Good, "belongs together"),
        false => (State::Bad, "contradicts itself"),
    };
    step(markup, state, word, "Contents", |markup| {
        let title = format!("metadata image, {}: ", size(chain.metadata_image_bytes));
        digest(markup, &title, &chain.metadata_image);
        chain.failures.iter().for_each(|failure| line(markup, "", failure, ""));
    });
}

fn seal(markup: &mut Markup, chain: &Chain) {
    match &chain.seal {
        None => step(markup, State::Note, "none", "Seal", |markup| {
            markup.element("p", &[], "nobody has signed what its devices are");
        }),
        Some(Err(problem)) => {
            step(markup, State::Bad, "cannot be used", "Seal", |markup| line(markup, "", problem, ""));
        }
        Some(Ok(sealed)) => {
            let all_count = sealed.signatures.iter().all(|signature| signature.certificate.is_ok());
            let (state, word) = match all_count {
                true => (State::Good, "every signature is by somebody trusted"),
                false => (State::Bad, "has signatures that do not count"),
            };
            step(markup, state, word, "Seal", |markup| {
                let after = format!(", epoch {}, made {}", sealed.epoch, sealed.created);
                line(markup, "for ", &sealed.names.join(", "), &after);
                markup.within("ul", &[], |markup| {
                    grouped(&sealed.signatures).iter().for_each(|group| signed(markup, group));
                });
            });
        }
    }
}

/// Signatures of the same signer that are worth the same to who pulls.
fn grouped(signatures: &[Signature]) -> Vec<Vec<&Signature>> {
    let worth = |signature: &Signature| {
        let certificate = signature.certificate.as_ref().map(|certificate| certificate.sha256.clone());
        (signature.signer.clone(), certificate.map_err(Clone::clone))
    };
    let mut groups: Vec<Vec<&Signature>> = Vec::new();
    for signature in signatures {
        let is_same = |group: &&mut Vec<&Signature>| {
            group.first().is_some_and(|first| worth(first) == worth(signature))
        };
        match groups.iter_mut().find(is_same) {
            Some(group) => group.push(signature),
            None => groups.push(vec![signature]),
        }
    }
    groups
}

fn signed(markup: &mut Markup, group: &[&Signature]) {
    let Some(first) = group.first() else { return };
    let packs = group.iter().filter(|signature| signature.of.starts_with("pack")).count();
    let mut of: Vec<String> = group
        .iter()
        .filter(|signature| !signature.of.starts_with("pack"))
        .map(|one| one.of.clone())
        .collect();
    match packs {
        0 => {}
        1 => of.push("1 pack".to_owned()),
        _ => of.push(format!("{packs} packs")),
    }
    markup.within("li", &[], |markup| {
        markup.text(&format!("{} signed by ", of.join(", ")));
        match &first.certificate {
            Ok(Certificate { names, from, until, .. }) => {
                markup.name(&first.signer);
                markup.text(", in the trust store as ");
                markup.name(&names.join(", "));
                markup.text(&format!("; valid from {from} "));
                markup.element("strong", &[], &format!("until {until}"));
            }
            Err(problem) => {
                markup.name(&first.signer);
                markup.text(": ");
                markup.name(problem);
            }
        }
    });
}

fn rules(markup: &mut Markup, chain: &Chain) {
    let judged = match &chain.judged {
        Err(why) => {
            return step(markup, State::Bad, "not known", "Trust store", |markup| line(markup, "", why, ""));
        }
        Ok(judged) => judged,
    };
    let refused = judged.iter().any(|judged| judged.refusal.is_some());
    let sealed = judged.iter().any(|judged| judged.sealed);
    let (state, word) = match (refused, sealed) {
        (true, _) => (State::Bad, "refuses it"),
        (false, true) => (State::Good, "accepts its seal"),
        (false, false) => (State::Note, "allows it without a seal that counts"),
    };
    step(markup, state, word, "Trust store", |markup| {
        for judged in judged {
            match &judged.refusal {
                Some(refusal) => line(markup, "as ", &judged.name, &format!(": {refusal}")),
                None if judged.sealed => line(markup, "as ", &judged.name, ": its seal counts"),
                None => line(markup, "as ", &judged.name, ": no rule demands a seal"),
            }
        }
        for attested in &chain.attestations {
            line(
                markup,
                "attested when it came: ",
                &attested.predicate_type,
                &format!(", by {}", attested.key),
            );
        }
    });
}

/// What the kernel would look at: the signatures of root hashes.
fn kernel(markup: &mut Markup, chain: &Chain) {
    const TITLE: &str = "Kernel of this machine";
    let Some(Ok(sealed)) = &chain.seal else {
        return step(markup, State::Note, "accepts no signature", TITLE, |markup| {
            markup.element("p", &[], "mounts are verified at best: there is nothing signed to show to it");
        });
    };
    let of_devices = || sealed.signatures.iter().filter(|signature| signature.root_hash.is_some());
    let keyrings = |signature: &Signature| -> Vec<String> {
        let certificate = signature.certificate.as_ref().ok();
        certificate.and_then(|certificate| certificate.keyrings.clone()).unwrap_or_default()
    };
    // Each device needs one signature that it accepts.
    let mut devices: Vec<_> = of_devices().map(|signature| &signature.root_hash).collect();
    devices.sort();
    devices.dedup();
    let is_accepted = |device: &&Option<String>| {
        of_devices().any(|signature| signature.root_hash == **device && !keyrings(signature).is_empty())
    };
    let accepted = devices.iter().filter(|device| is_accepted(device)).count();
    // Of a certificate that is not here nothing says whether a keyring has it.
    let is_unknown = !chain.keyrings_unknown.is_empty() || of_devices().any(|it| it.certificate.is_err());
    let mut held: Vec<String> = of_devices().flat_map(keyrings).collect();
    held.sort();
    held.dedup();
    let (state, word) = match (accepted == devices.len(), is_unknown) {
        (true, _) => (State::Good, "has the certificates"),
        (false, true) => (State::Note, "not known of all"),
        (false, false) => (State::Note, "does not have the certificates"),
    };
    step(markup, state, word, TITLE, |markup| {
        let devices = devices.len();
        markup.element(
            "p",
            &[],
            &format!("{accepted} of {devices} devices are signed by keys that are in its keyrings and in the trust store"),
        );
        if !held.is_empty() {
            line(markup, "in ", &held.join(", "), "");
        }
        chain.keyrings_unknown.iter().for_each(|why| line(markup, "", why, ""));
    });
}

fn signatures(markup: &mut Markup, sealed: &Sealed) {
    let row = |signature: &Signature| {
        let (by, until, sha256) = match &signature.certificate {
            Ok(it) => (Cell::Badge(State::Good, it.names.join(", ")), it.until.clone(), short(&it.sha256)),
            Err(why) => (Cell::Badge(State::Bad, why.clone()), String::new(), String::new()),
        };
        vec![
            Cell::Text(signature.of.clone()),
            Cell::Code(signature.root_hash.as_deref().map(short).unwrap_or_default()),
            Cell::Name(signature.signer.clone()),
            by,
            Cell::Day(until),
            Cell::Code(sha256),
        ]
    };
    let rows: Vec<Vec<Cell>> = sealed.signatures.iter().map(row).collect();
    let header = ["Of", "Root hash", "Signer, as it says", "In the trust store", "Until", "Certificate"];
    table(markup, "Signatures", &header, &rows);
}
