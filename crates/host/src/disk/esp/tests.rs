use super::*;
use std::process::Command;

const PLACE: Place = Place { start_bytes: 1024 * 1024, size_bytes: 128 * 1024 * 1024 };

fn written(files: &[EspFile]) -> io::Result<tempfile::NamedTempFile> {
    let disk = tempfile::NamedTempFile::new()?;
    disk.as_file().set_len(PLACE.size_bytes + 2 * PLACE.start_bytes)?;
    write(disk.as_file(), PLACE, Number::of("esp"), files)?;
    Ok(disk)
}

fn file(path: &str, content: impl Into<Vec<u8>>) -> EspFile {
    EspFile { path: path.to_owned(), content: content.into() }
}

fn samples() -> Vec<EspFile> {
    let many = (0..100).map(|number| file(&format!("loader/many/file with a long name {number}"), [number]));
    let others = [
        file("EFI/BOOT/BOOTX64.EFI", vec![7; 100_000]),
        file("EFI/Linux/sealed_12+3.efi", (0..3_000_000_u32).map(|byte| byte as u8).collect::<Vec<_>>()),
        file("EFI/Linux/sealed_13+3.efi", vec![3; 1024]),
        file("loader/loader.conf", "timeout 0\n"),
        file("loader/empty", ""),
    ];
    others.into_iter().chain(many).collect()
}

/// The output of a tool, which may not be installed.
fn output(command: &mut Command) -> io::Result<Option<std::process::Output>> {
    match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: {} is not installed", command.get_program().display());
            Ok(None)
        }
        other => other.map(Some),
    }
}

#[test]
fn mtools_reads_the_files_under_their_names() -> io::Result<()> {
    let disk = written(&samples())?;
    let image = format!("{}@@{}", disk.path().display(), PLACE.start_bytes);
    for file in samples() {
        let path = format!("::{}", file.path);
        let Some(read) = output(Command::new("mtype").args(["-i", &image, &path]))? else { return Ok(()) };
        assert!(read.stdout == file.content, "{}: {}", file.path, String::from_utf8_lossy(&read.stderr));
    }
    Ok(())
}

#[test]
fn fsck_finds_nothing_wrong() -> io::Result<()> {
    let disk = written(&samples())?;
    let mut bytes = vec![0; PLACE.size_bytes as usize];
    disk.as_file().read_exact_at(&mut bytes, PLACE.start_bytes)?;
    let partition = tempfile::NamedTempFile::new()?;
    std::fs::write(partition.path(), bytes)?;
    let mut fsck = Command::new("/sbin/fsck.fat");
    let Some(fsck) = output(fsck.args(["-n", "-v"]).arg(partition.path()))? else { return Ok(()) };
    let said = String::from_utf8_lossy(&fsck.stdout);
    assert!(fsck.status.success(), "{said}");
    // Some 110 files, on FAT32.
    assert!(said.contains("32 bit entries"), "{said}");
    Ok(())
}

#[test]
fn the_same_files_give_the_same_bytes() -> io::Result<()> {
    let (one, other) = (written(&samples())?, written(&samples())?);
    assert!(std::fs::read(one.path())? == std::fs::read(other.path())?);
    Ok(())
}

#[test]
fn files_that_do_not_fit_are_an_error_and_nothing_beside_the_partition_is_written() -> io::Result<()> {
    let disk = tempfile::NamedTempFile::new()?;
    disk.as_file().set_len(PLACE.size_bytes + 2 * PLACE.start_bytes)?;
    let large = file("large", vec![1; PLACE.size_bytes as usize]);
    let error = write(disk.as_file(), PLACE, Number::of("esp"), &[large]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
    let bytes = std::fs::read(disk.path())?;
    assert!(bytes[(PLACE.start_bytes + PLACE.size_bytes) as usize..].iter().all(|&byte| byte == 0));
    Ok(())
}

#[test]
fn two_files_of_a_name_and_a_file_in_a_file_are_refused() {
    for files in [[file("a/b", "1"), file("A/B", "2")], [file("a", "1"), file("a/b", "2")]] {
        let error = written(&files).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
}
