//! Images that are to be sealed and are not in the store yet.

use sealpack_format::reference::Reference;
use sealpack_oci::environment::Environment;
use sealpack_oci::image::ResolvedImage;
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::{Request, pull};
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_store::{ImageRecord, ObjectForm};

use crate::args::LimitArgs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::progress;
use crate::registry_args::RegistryArgs;
use crate::statement::StatementArgs;
use sealpack_gate::Found;

/// The image in the store; else the one that `image` means as a source, pulled into packs.
pub(super) fn find_or_pull(
    context: &Context,
    image: &str,
    statement: &StatementArgs,
    registry: &RegistryArgs,
    limits: LimitArgs,
) -> Result<ImageRecord, CommandError> {
    let absent = match context.open_if_there(None)? {
        Some(store) => match context.find_whole(&store, image) {
            Ok(record) => return Ok(record),
            Err(error) => error,
        },
        None => CommandError::failed("there is no store"),
    };
    if is_digest(image) {
        return Err(absent);
    }
    let Ok(source) = image.parse::<Source>() else { return Err(absent) };
    check_names(&source, statement)?;
    let source =
        source.open(&registry.client_options(&source), &Environment::of_process(std::env::var_os))?;
    let name = name_of(source.as_ref())?;
    let found = Found::resolve(source.as_ref(), &Platform::host())?;
    let objects = Some(ObjectForm::Packs);
    let request = Request { index: found.index(), limits: limits.limits(), ..Request::new(&name, objects) };
    bring(context, source.as_ref(), &found.image, &request)
}

/// That somebody here has said which names are signed. A registry's image is asked for by its name; that of a layout or an
/// archive says its name itself, and could say any.
pub(super) fn check_names(source: &Source, statement: &StatementArgs) -> CommandResult {
    if matches!(source, Source::Registry(_)) || statement.has_names() {
        return Ok(());
    }
    Err(CommandError::usage(format_args!(
        "{source} is from no registry, so that its name is only what whoever made it says"
    ))
    .hint("--name says what the seal is for"))
}

/// Whether a text is more likely the beginning of a digest than an image of that name somewhere.
fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha512:")).unwrap_or(text);
    hex.len() >= 8 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of what a source has.
pub(super) fn name_of(source: &dyn ImageSource) -> Result<Reference, CommandError> {
    source.default_name().ok_or_else(|| {
        CommandError::failed(format_args!("{} suggests no name for the image", source.description()))
            .hint("`sealpack pull SOURCE NAME` gives it one")
    })
}

/// Pulls an image. The trust store is not asked: whoever seals decides.
pub(super) fn bring(
    context: &Context,
    source: &dyn ImageSource,
    image: &ResolvedImage,
    request: &Request<'_>,
) -> Result<ImageRecord, CommandError> {
    let store = context.open_or_create(None)?;
    store.check_form(ObjectForm::Packs)?;
    let observer = progress::observer(context.output);
    Ok(pull(&store, source, image, request, observer.as_ref())?.record)
}
