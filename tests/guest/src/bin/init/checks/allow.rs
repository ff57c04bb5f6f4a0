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

/// Modules in C, each a shared library of its own, two of them with further libraries.
const PYTHON: &str = "import _decimal, _sqlite3, _ssl, ssl, sqlite3; \
    assert all(module.__file__.endswith('.so') for module in (_decimal, _sqlite3, _ssl)); \
    print(_decimal.Decimal('1.1') + 1, sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0])";

pub(crate) fn python() -> Result<Verdict> {
    if let Some(why) = images::why_no_python() {
        return Ok(Verdict::Inapplicable(why));
    }
    let image = images::signed("python")?;
    allowed("python3 with modules in C", || {
        execute_in(image.root(), &["/usr/bin/python3", "-c", PYTHON], "2.1 42")
    })?;
    Ok(Verdict::Shown)
}

pub(crate) fn two_images() -> Result<Verdict> {
    let (one, two) = (images::signed("one")?, images::signed("two")?);
    allowed("image one", || execute_in(one.root(), &["/bin/script"], SCRIPT_SAYS))?;
    allowed("image two", || execute_in(two.root(), &["/bin/script"], OTHER_SCRIPT_SAYS))?;
    Ok(Verdict::Shown)
}
