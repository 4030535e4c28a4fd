//! The project's own charts, one for each rule, against what helm printed: `../golden/record.sh`.

use std::path::{Path, PathBuf};

use render::helm::{
    ArchiveLimits, ChartFile, CompiledChart, Error, Values, load_chart, without_ignored,
};

use crate::command::{expected_error, template};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<ChartFile>) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        if path.is_dir() {
            read_folder(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        files.push(ChartFile { name, data: std::fs::read(&path).unwrap() });
    }
}

fn chart(name: &str) -> Result<CompiledChart, Error> {
    let root = golden().join("charts").join(name);
    let mut files = Vec::new();
    read_folder(&root, &root, &mut files);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    CompiledChart::new(load_chart(without_ignored(files)?, ArchiveLimits::default())?)
}

fn check(name: &str, chart_name: &str, args: &str) -> Result<(), String> {
    let mut words = vec!["rel"];
    words.extend(args.split_whitespace());
    let got = template(chart(chart_name), &words, Values::new());
    let read = |extension: &str| {
        std::fs::read_to_string(golden().join("out").join(format!("{name}.{extension}")))
    };
    let want = match read("yaml") {
        Ok(text) => Ok(text),
        Err(_) => Err(expected_error(&read("err").unwrap())),
    };
    let got = got.map_err(|text| text.trim().to_owned());
    if got == want { Ok(()) } else { Err(format!("{name}:\n got:  {got:?}\n want: {want:?}")) }
}

#[test]
fn small_charts_render_as_helm_does() {
    let cases = std::fs::read_to_string(golden().join("cases.txt")).unwrap();
    let mut failed = Vec::new();
    for line in cases.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
        let [name, chart, args] = parts[..] else { panic!("{line}") };
        failed.extend(check(name, chart, args).err());
    }
    assert!(failed.is_empty(), "{} cases differ\n{}", failed.len(), failed.join("\n"));
}

// minijinja's own syntax, with Helm's data and functions: helm has no say here.
#[test]
fn plain_templates_see_the_same_data_and_functions() {
    let got = template(chart("plain"), &["rel", "--namespace", "ns1"], Values::new()).unwrap();
    let want = "---\n# Source: plain/templates/web.yaml.j2\nname: \"rel-plain\"\nreplicas: 3 4 \n\
                labels:\n  a: one\n  b: two\nports:\n- 80 # 80\n- 443\n\
                files: [\"hello\", false]\npart: NS1\n";
    assert_eq!(got, want);
}
