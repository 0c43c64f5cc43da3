//! The HTML pages: what is in them, and that a browser shows them.

use super::*;
use std::process::{Command, Output};

/// Names that Chromium goes by.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

fn wcodec(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    command.current_dir(folder).args(arguments).arg("--quiet");
    command.output().unwrap()
}

/// The pages of both commands, in a folder with a name that HTML must escape.
fn pages(folder: &TempDir) -> [PathBuf; 2] {
    let kjv = kjv();
    let kjv = kjv.to_str().unwrap();
    changed(folder, "model.layers.3.mlp.down_proj.weight", |old| {
        (old * 1.1).unwrap()
    });
    let lossless = encoded(folder);
    fs::rename(&lossless, folder.path().join("<b>&kjv.wcodec")).unwrap();
    file(folder, "text.txt", TEXT);
    file(folder, "task.jsonl", ITEMS);
    let eval = "--text text.txt --task task.jsonl --max-accuracy-drop 1 --accept-uncertain --html eval.html";
    let arguments = ["eval", kjv, "changed.safetensors", "<b>&kjv.wcodec"]
        .into_iter()
        .chain(eval.split(' '));
    let output = wcodec(folder, &arguments.collect::<Vec<_>>());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let arguments = [
        "baseline",
        kjv,
        "--text",
        "text.txt",
        "--runs",
        "1",
        "--html",
        "baseline.html",
    ];
    let output = wcodec(folder, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ["eval.html", "baseline.html"].map(|name| folder.path().join(name))
}

#[test]
fn pages_have_all_in_them_and_need_nothing_else() {
    let folder = folder();
    let [eval, baseline] = pages(&folder).map(|path| fs::read_to_string(path).unwrap());
    for page in [&eval, &baseline] {
        assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
        for foreign in ["http://", "https://", "src=", "@import", "url(", "<script", "<b>"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("@media print"));
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        for none in ["NaN", ">inf", "\"inf", " inf ", "-inf"] {
            assert!(!page.contains(none), "{none}");
        }
    }
    for part in [
        "&lt;b&gt;&amp;kjv.wcodec",
        "Size against cost",
        "KL divergence of a token",
        "Change of the accuracy",
        "identical",
    ] {
        assert!(eval.contains(part), "{part}");
    }
    // What was measured elsewhere is of other models.
    assert!(!eval.contains("elsewhere"));
    let parts = [
        "Targets",
        "Entropy by field",
        "Distributions",
        "Predictors and transforms",
        "As INT8 and INT4",
        "Loading",
    ];
    for part in parts {
        assert!(baseline.contains(&format!("<h2>{part}</h2>")), "{part}");
    }
}

/// Chromium with a page, and what it says of it.
fn browse(browser: &str, folder: &TempDir, arguments: &[&str], page: &Path) -> Output {
    let mut command = Command::new(browser);
    command
        .current_dir(folder)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]);
    command.args([
        "--allow-file-access-from-files",
        "--virtual-time-budget=2000",
        "--hide-scrollbars",
    ]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    command.args(arguments).arg(format!("file://{}", page.display()));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // What a page complains of.
    assert!(!said.contains("CONSOLE"), "{said}");
    output
}

#[test]
fn chromium_shows_the_pages() {
    let there = |name: &&str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    let Some(browser) = BROWSERS.into_iter().find(|name| there(name)) else {
        println!("SKIPPED: no Chromium is installed to look at the HTML reports with");
        return;
    };
    let folder = folder();
    for page in pages(&folder) {
        let shot = |name: &str, more: &[&str]| {
            let to = format!("--screenshot={name}");
            let size = ["--window-size=1280,1600", &to];
            browse(browser, &folder, &[&size[..], more].concat(), &page);
            fs::read(folder.path().join(name)).unwrap()
        };
        let light = shot("light.png", &[]);
        let dark = shot("dark.png", &["--blink-settings=preferredColorScheme=0"]);
        // A page of text and plots is no flat picture.
        assert!(
            light.len() > 30_000 && dark.len() > 30_000 && light != dark,
            "{} {}",
            light.len(),
            dark.len()
        );
        let paper = ["--print-to-pdf=paper.pdf", "--no-pdf-header-footer"];
        browse(browser, &folder, &paper, &page);
        assert!(fs::read(folder.path().join("paper.pdf")).unwrap().starts_with(b"%PDF"));
        // On a phone nothing is wider than the screen, no table either.
        let name = page.file_name().unwrap().to_str().unwrap();
        let frame = format!(
            "<iframe src={name} style='width:360px;height:800px;border:0'></iframe><script>onload=()=>{{\
             const d=document.querySelector('iframe').contentDocument;\
             const hidden=[...d.querySelectorAll('.scroll')].filter(s=>s.scrollWidth>s.clientWidth).length;\
             document.body.innerHTML='wide '+d.documentElement.scrollWidth+' plots '+d.querySelectorAll('svg').length\
             +' hidden '+hidden+' '}}\
             </script>"
        );
        let frame = file(&folder, "frame.html", &frame);
        let dom = browse(browser, &folder, &["--dump-dom"], &frame);
        let dom = String::from_utf8_lossy(&dom.stdout).into_owned();
        let wide = dom
            .split("wide ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(wide.is_some_and(|wide| wide <= 360), "{name}: {wide:?}");
        assert!(!dom.contains("plots 0 ") && dom.contains("hidden 0 "), "{name}");
    }
}
