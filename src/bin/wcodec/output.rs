//! What goes to stdout, and how numbers look.

use crate::failure::Failure;
use std::io::{ErrorKind, Write};
#[cfg(feature = "eval")]
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Refuses reports that cannot be written or would take the place of a file: said before the work. `kept` are
/// other files that the same command writes.
#[cfg(feature = "eval")]
pub(crate) fn check_reports(
    reports: &[&Option<PathBuf>],
    kept: &[&Option<PathBuf>],
    force: bool,
) -> Result<(), Failure> {
    let mut places = Vec::new();
    for path in reports.iter().chain(kept).copied().flatten() {
        let place = place(path);
        if places.contains(&place) {
            let what = "two results are to be written to it: name a file for each";
            return Err(Failure::usage(format!("{}: {what}", path.display())));
        }
        places.push(place);
    }
    for path in reports.iter().copied().flatten() {
        crate::decode::refuse_existing(path, false, force)?;
        let folder = folder(path);
        tempfile::tempfile_in(folder).map_err(|e| {
            let what = format!("no file can be made in {} ({})", folder.display(), e.kind());
            Failure::new("io", format!("writing {}: {what}", path.display()))
        })?;
    }
    Ok(())
}

/// Refuses outputs that would take the place of what the same command reads, whatever else is allowed: said before
/// the work.
#[cfg(feature = "eval")]
pub(crate) fn refuse_inputs<'a>(
    outputs: &[&Option<PathBuf>],
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Failure> {
    // A name and what a link of that name leads to: neither may be replaced.
    let names = |path: &Path| std::iter::once(place(path)).chain(path.canonicalize());
    let inputs: Vec<PathBuf> = inputs.into_iter().flat_map(names).collect();
    for path in outputs.iter().copied().flatten() {
        if names(path).any(|name| inputs.contains(&name)) {
            let what = "is an input of this run: name another file";
            return Err(Failure::usage(format!("{} {what}", path.display())));
        }
    }
    Ok(())
}

/// Where a file is, however its folder is written.
#[cfg(feature = "eval")]
fn place(path: &Path) -> PathBuf {
    let folder = folder(path).canonicalize().unwrap_or_else(|_| folder(path).to_owned());
    folder.join(path.file_name().unwrap_or_default())
}

/// Writes a report, which has its name only when it is whole; without `force` in the place of no file, not even
/// of one that is new.
#[cfg(feature = "eval")]
pub(crate) fn write_report(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let writing = || Failure::io(format!("writing {}", path.display()));
    let mut builder = tempfile::Builder::new();
    // As other programs make files: the system's mask says who reads them.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder(path)).map_err(writing())?;
    file.write_all(text.as_bytes()).map_err(writing())?;
    let kept = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    kept.map(drop).map_err(|e| writing()(e.error))
}

#[cfg(feature = "eval")]
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes text to stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => Failure::closed_output(),
            _ => Failure::io("writing to stdout")(e),
        })
}

/// A name from outside, without what would steer a terminal, begin a line or turn the direction of the text.
pub(crate) fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '?' } else { c }).collect()
}

/// Writes one JSON object to stdout, on one line.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Bytes with three significant digits, in decimal units as disks and the Hub use them.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1000.0;
    let mut unit = 0;
    // 999.5 would be printed as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Bytes a second.
pub(crate) fn rate(n: u64, seconds: f64) -> String {
    if seconds > 0.0 {
        format!("{}/s", bytes((n as f64 / seconds) as u64))
    } else {
        "-".into()
    }
}

/// A duration for people.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 59.95 => format!("{s:.1} s"),
        s => format!("{} min {:02} s", s.round() as u64 / 60, s.round() as u64 % 60),
    }
}

/// What part of `bytes` was saved, in percent. Negative if it grew.
pub(crate) fn saved(bytes: u64, encoded: u64) -> f64 {
    if bytes == 0 {
        0.0
    } else {
        100.0 - 100.0 * encoded as f64 / bytes as f64
    }
}

/// A count and its noun.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Reads a size such as `1GB`, `512MiB` or `4096`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("{text:?} is no size: write 1GB, 512MiB or 4096"))?;
    let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1048576.0,
        "gib" => 1073741824.0,
        "tib" => 1099511627776.0,
        other => {
            return Err(format!(
                "{other:?} is no unit: use kB, MB, GB, TB, KiB, MiB, GiB or TiB"
            ));
        }
    };
    let size = number * unit;
    if (1.0..=1e15).contains(&size) {
        Ok(size as u64)
    } else {
        Err("a size from 1 B to 1000 TB is needed".into())
    }
}

/// A figure, in few characters whatever it is.
#[cfg(feature = "eval")]
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-6..1e15).contains(&size) => format!("{value:e}"),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
        ];
        let more = [
            (99_960, "100 kB"),
            (999_600, "1.00 MB"),
            (2_471_645_608, "2.47 GB"),
            (u64::MAX, "18447 PB"),
        ];
        for (n, text) in cases.into_iter().chain(more) {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("1GB"), Ok(1_000_000_000));
        assert_eq!(parse_size("1.5 MiB"), Ok(3 << 19));
        assert_eq!(parse_size("4096"), Ok(4096));
        for wrong in ["", "GB", "1.2.3", "1 parsec", "0", "-1", "1e9"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_and_savings() {
        assert_eq!(duration(Duration::from_millis(250)), "250 ms");
        assert_eq!(duration(Duration::from_millis(61_400)), "1 min 01 s");
        assert_eq!(saved(0, 10), 0.0);
        assert_eq!(saved(200, 50), 75.0);
    }

    #[test]
    fn names_do_not_steer_a_terminal() {
        assert_eq!(printable("model/ä 1.safetensors"), "model/ä 1.safetensors");
        assert_eq!(printable("a\u{1b}[31m\nmet: b\u{9b}\u{7f}\u{202e}"), "a?[31m?met: b???");
    }

    #[test]
    #[cfg(feature = "eval")]
    fn a_report_takes_the_place_of_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let (one, same) = (path("one"), path("./one"));
        let twice = check_reports(&[&one], &[&same], true).unwrap_err().message();
        assert!(twice.contains("two results"), "{twice}");
        assert!(check_reports(&[&one, &None], &[&path("two")], false).is_ok());
        // One that came into being since the check.
        let one = one.unwrap();
        std::fs::write(&one, "mine").unwrap();
        assert!(write_report(&one, "report", false).is_err());
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "mine");
        write_report(&one, "report", true).unwrap();
        assert_eq!(std::fs::read_to_string(&one).unwrap(), "report");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
