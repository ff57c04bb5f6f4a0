//! What runs from signed devices.

use super::enforcement::{allowed, execute_in};
use super::{Verdict, images};
use anyhow::Result;
use sealpack_guest::images::{INLINE_SAYS, OTHER_SCRIPT_SAYS, SCRIPT_SAYS};

pub(crate) fn dynamic_program() -> Result<Verdict> {
    let image = images::signed("one")?;
    allowed("a dynamically linked program", || {
        execute_in(image.root(), &["/bin/busybox", "echo", "it runs"], "it runs")
    })?;
    Ok(Verdict::Shown)
}

pub(crate) fn script() -> Result<Verdict> {
    let image = images::signed("one")?;
    allowed("a script", || execute_in(image.root(), &["/bin/script"], SCRIPT_SAYS))?;
    Ok(Verdict::Shown)
}

pub(crate) fn inline_script() -> Result<Verdict> {
    let image = images::signed("one")?;
    allowed("an inline script", || execute_in(image.root(), &["/bin/inline"], INLINE_SAYS))?;
    Ok(Verdict::Shown)
}

pub(crate) fn two_images() -> Result<Verdict> {
    let (one, two) = (images::signed("one")?, images::signed("two")?);
    allowed("image one", || execute_in(one.root(), &["/bin/script"], SCRIPT_SAYS))?;
    allowed("image two", || execute_in(two.root(), &["/bin/script"], OTHER_SCRIPT_SAYS))?;
    Ok(Verdict::Shown)
}
