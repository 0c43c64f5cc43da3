//! What goes to stdout, and how numbers look.

use crate::failure::Failure;
use std::io::{ErrorKind, Write};
#[cfg(feature = "eval")]
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Refuses reports that cannot be written or would take the place of a file: said before the work.
#[cfg(feature = "eval")]
pub(crate) fn check_reports(paths: &[&Option<PathBuf>], force: bool) -> Result<(), Failure> {
    let paths: Vec<&PathBuf> = paths.iter().copied().flatten().collect();
    for (i, path) in paths.iter().enumerate() {
        if paths[..i].contains(path) {
            let what = "two reports are to be written to it: name a file for each";
            return Err(Failure::usage(format!("{}: {what}", path.display())));
        }
        crate::decode::refuse_existing(path, false, force)?;
        let folder = folder(path);
        tempfile::tempfile_in(folder).map_err(|e| {
            let what = format!("no file can be made in {} ({})", folder.display(), e.kind());
            Failure::new("io", format!("writing {}: {what}", path.display()))
        })?;
    }
    Ok(())
}

/// Writes a report, which has its name only when it is whole.
#[cfg(feature = "eval")]
pub(crate) fn write_report(path: &Path, text: &str) -> Result<(), Failure> {
    let writing = || Failure::io(format!("writing {}", path.display()));
    let mut builder = tempfile::Builder::new();
    // As other programs make files: the system's mask says who reads them.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder(path)).map_err(writing())?;
    file.write_all(text.as_bytes()).map_err(writing())?;
    file.persist(path).map(drop).map_err(|e| writing()(e.error))
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
}
