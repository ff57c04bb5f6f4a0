//! The page in a browser.

use crate::support::Desk;
use anyhow::{Context, Result, ensure};
use sealpack_tests::browser::Browser;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::{images, skip};
use serde_json::{Value, json};

/// Names that would do something on a page that took them for more than texts.
const HOSTILE: [&str; 6] = [
    "<img src=x onerror=\"window.hit=1\">",
    "<script>window.hit=2<\u{2f6}script>",
    "\"'><svg onload=window.hit=3>",
    "\u{202e}lmth.\u{2066}x\u{200b}",
    "\u{1b}[2J\u{7}\u{9b}",
    "ÿ-not-utf-8",
];

/// Every text with its colours has to be readable: the contrast that WCAG 2.1 (1.4.3) asks for. Answers with those that are
/// not.
const UNREADABLE: &str = r#"(() => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = numbers(colour).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let it = element; it; it = it.parentElement) {
      const colour = getComputedStyle(it).backgroundColor;
      const parts = numbers(colour);
      if (parts.length < 4 || parts[3] === 1) return colour;
    }
    return getComputedStyle(document.documentElement).colorScheme === "dark" ? "rgb(0,0,0)" : "rgb(255,255,255)";
  };
  const bad = [];
  let looked = 0;
  for (const element of document.querySelectorAll("body *")) {
    const has_text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
    if (!has_text || element.closest("svg, script") || element.getClientRects().length === 0) continue;
    looked += 1;
    const [one, other] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) bad.push([element.tagName, element.className, element.textContent.slice(0, 40), contrast]);
  }
  return { bad, looked };
})()"#;

/// An image with files of such names, all of which can be executed.
fn pull_hostile(desk: &Desk) -> Result<()> {
    let entries: Vec<Entry> = HOSTILE
        .iter()
        .flat_map(|name| {
            let content = b"#!/bin/<i>sh\n".to_vec();
            [
                Entry::new(format!("{name}/"), Member::Directory),
                Entry::new(format!("{name}/{name}"), Member::File(content)).mode(0o4755),
            ]
        })
        .collect();
    let tool = |number: u8| {
        let content = [b"#!/bin/sh\n", &[number; 90][..]].concat();
        Entry::new(format!("tool-{number}"), Member::File(content)).mode(0o755)
    };
    let mut layer = archive(&entries.into_iter().chain((10..40).map(tool)).collect::<Vec<_>>());
    // The two bytes of the letter the other way round are no UTF-8, and have the same checksum.
    let places: Vec<usize> =
        (0..layer.len() - 1).filter(|place| layer[*place..].starts_with("ÿ".as_bytes())).collect();
    places.into_iter().for_each(|place| layer[place..place + 2].reverse());
    images::at(&desk.path("hostile"), &[(layer, Packing::Gzip)])?;
    desk.pull("hostile", "hostile")
}

/// One browser for all of it: starting it takes longer than the rest.
#[test]
fn the_page_asks_for_nothing_does_nothing_that_names_say_and_is_readable_by_everybody() -> Result<()> {
    let Some(mut browser) = Browser::start()? else {
        skip("chromium is not installed");
        return Ok(());
    };
    let desk = Desk::new()?;
    pull_hostile(&desk)?;
    desk.seal("one")?;
    desk.report(&["one", "two", "hostile", "--host"])?;
    browser.open(&desk.path("report.html"))?;
    names_do_nothing(&mut browser)?;
    everything_has_a_name(&mut browser)?;
    the_keyboard_goes_everywhere(&mut browser)?;
    lists_can_be_searched(&mut browser)?;
    texts_can_be_read(&mut browser)?;
    it_prints(&mut browser)?;
    nothing_was_asked_for_and_nothing_went_wrong(&browser)
}

fn names_do_nothing(browser: &mut Browser) -> Result<()> {
    ensure!(browser.evaluate("window.hit ?? null")?.is_null(), "a name was executed");
    let never = "document.querySelectorAll('img, iframe, object, i, b, [onerror], [onload], [style]').length";
    ensure!(browser.evaluate(never)? == 0, "a name became an element");
    ensure!(browser.evaluate("document.scripts.length")? == 1);
    let text = browser.evaluate("document.body.textContent")?;
    let text = text.as_str().context("a text")?;
    ensure!(text.contains(HOSTILE[0]) && text.contains("/bin/<i>sh"), "{text}");
    ensure!(text.contains("\\xbf\\xc3-not-utf-8"), "what is no UTF-8 is shown by its bytes: {text}");
    ensure!(text.contains("\\u{202e}lmth"), "{text}");
    ensure!(!text.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{1b}', '\u{9b}']));
    // What the page's own policy does not know does not run.
    let refused = "(() => { const it = document.createElement('script'); it.textContent = 'window.hit = 4'; \
                   document.body.append(it); it.remove(); return window.hit ?? null; })()";
    let before = browser.events.len();
    ensure!(browser.evaluate(refused)?.is_null(), "the policy of the page lets scripts run");
    // That is an error on the console, and the only one that is meant to be.
    browser.evaluate("1")?;
    let told: Vec<Value> = browser.events.split_off(before);
    ensure!(told.iter().any(|event| event.to_string().contains("Content Security Policy")), "{told:?}");
    Ok(())
}

/// What screen readers announce: nothing that matters is without a name, and headings go down step by step.
fn everything_has_a_name(browser: &mut Browser) -> Result<()> {
    let tree = browser.command("Accessibility.getFullAXTree", json!({}))?;
    let nodes = tree["nodes"].as_array().context("a tree")?;
    let role = |node: &Value| node["role"]["value"].as_str().unwrap_or_default().to_owned();
    let mut seen = std::collections::BTreeSet::new();
    for node in nodes.iter().filter(|node| node["ignored"] == false) {
        let role = role(node);
        let roles = [
            "RootWebArea",
            "link",
            "image",
            "img",
            "region",
            "heading",
            "searchbox",
            "table",
            "DisclosureTriangle",
        ];
        if roles.contains(&role.as_str()) {
            let name = node["name"]["value"].as_str().unwrap_or_default();
            ensure!(!name.trim().is_empty(), "a {role} has no name: {node:#}");
            seen.insert(role);
        }
    }
    for role in ["link", "region", "heading", "table"] {
        ensure!(seen.contains(role), "{role} is not among {seen:?}");
    }
    ensure!(seen.contains("image") || seen.contains("img"), "{seen:?}");
    let levels =
        browser.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((it) => +it.tagName[1])")?;
    let levels: Vec<u64> = levels.as_array().context("a list")?.iter().filter_map(Value::as_u64).collect();
    ensure!(levels.first() == Some(&1) && levels.windows(2).all(|two| two[1] <= two[0] + 1), "{levels:?}");
    ensure!(browser.evaluate("document.documentElement.lang")? == "en");
    Ok(())
}

fn the_keyboard_goes_everywhere(browser: &mut Browser) -> Result<()> {
    let mut reached = Vec::new();
    for _ in 0..40 {
        browser.press_tab()?;
        let at = "document.activeElement.tagName + ' ' + (document.activeElement.getAttribute('href') ?? '')";
        reached.push(browser.evaluate(at)?.as_str().unwrap_or_default().to_owned());
    }
    ensure!(reached.first().is_some_and(|first| first == "A #main"), "{reached:?}");
    for wanted in ["A #chain", "A #policy", "DIV ", "SUMMARY "] {
        ensure!(reached.iter().any(|at| at == wanted), "{wanted}: {reached:?}");
    }
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    ensure!(browser.evaluate(outline)? == "solid", "one sees where one is");
    Ok(())
}

fn lists_can_be_searched(browser: &mut Browser) -> Result<()> {
    let search = "(() => {
        const field = [...document.querySelectorAll('.filter input')].pop();
        const list = field.closest('.filter').nextElementSibling;
        field.value = 'TOOL-1';
        field.dispatchEvent(new Event('input'));
        return [[...list.children].filter((row) => !row.hidden).map((row) => row.firstChild.textContent),
                field.closest('.filter').textContent];
    })()";
    let found = browser.evaluate(search)?;
    let shown: Vec<String> = (10..20).map(|number| format!("/tool-{number}")).collect();
    ensure!(found[0] == json!(shown), "{found:#}");
    ensure!(found[1].as_str().is_some_and(|told| told.contains("10 of ")), "{found:#}");
    Ok(())
}

fn texts_can_be_read(browser: &mut Browser) -> Result<()> {
    browser.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")?;
    let mut papers = Vec::new();
    for (scheme, medium) in [("light", "screen"), ("dark", "screen"), ("light", "print"), ("dark", "print")] {
        browser.look(scheme, medium)?;
        let found = browser.evaluate(UNREADABLE)?;
        ensure!(found["looked"].as_u64() > Some(100), "{found}");
        ensure!(found["bad"].as_array().is_some_and(Vec::is_empty), "{scheme} {medium}: {:#}", found["bad"]);
        papers.push(browser.evaluate("getComputedStyle(document.body).backgroundColor")?);
    }
    ensure!(papers[0] != papers[1] && papers[2] == papers[3], "{papers:?}");
    browser.look("light", "screen")?;
    for (width, scale) in [(1200, 1), (360, 2)] {
        let window = json!({ "width": width, "height": 800, "deviceScaleFactor": scale, "mobile": false });
        browser.command("Emulation.setDeviceMetricsOverride", window)?;
        // Nothing is wider than the page, but what has its own way to be moved.
        let wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        ensure!(browser.evaluate(wider)? == 0, "the page is wider than {width}");
    }
    browser.command("Emulation.clearDeviceMetricsOverride", json!({}))?;
    Ok(())
}

fn it_prints(browser: &mut Browser) -> Result<()> {
    browser.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = false; })")?;
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")?;
    ensure!(browser.evaluate("document.querySelectorAll('details:not([open])').length")? == 0);
    browser.evaluate("dispatchEvent(new Event('afterprint'))")?;
    ensure!(browser.evaluate("document.querySelectorAll('details[open]').length")? == 0);
    let printed = browser.command("Page.printToPDF", json!({ "printBackground": true }))?;
    ensure!(printed["data"].as_str().is_some_and(|data| data.len() > 10_000), "the paper is empty");
    Ok(())
}

fn nothing_was_asked_for_and_nothing_went_wrong(browser: &Browser) -> Result<()> {
    let urls = browser.events_of("Network.requestWillBeSent");
    let urls: Vec<&str> = urls.iter().filter_map(|event| event["request"]["url"].as_str()).collect();
    ensure!(urls.len() == 1 && urls[0].ends_with("/report.html"), "{urls:?}");
    for method in ["Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"] {
        let told = browser.events_of(method);
        ensure!(told.is_empty(), "{method}: {told:?}");
    }
    Ok(())
}
