//! The charts, as far as no helm is needed. The rest is told on real clusters.

use e2e::peers::workspace;

/// Rights of the hub's processes, as `helm template` prints them (recorded by the story
/// `rights_are_those_of_the_golden`, which compares with the real helm).
const GOLDEN: &str = include_str!("../golden/rbac.yaml");

#[test]
fn hub_processes_hold_no_star() {
    for line in GOLDEN.lines() {
        assert!(!line.contains('*'), "a star in the rights of the hub: {line}");
    }
    assert!(GOLDEN.contains("kind: ClusterRole"), "the golden holds no role");
}

#[test]
fn images_are_our_own() {
    for chart in ["fleet", "fleet-agent"] {
        let path = workspace().join("charts").join(chart).join("values.yaml");
        let values = std::fs::read_to_string(path).expect("each chart has values");
        let values = goyaml::from_str(&values).expect("they are YAML");
        let images = ["image", "agentImage"].map(|key| values[key]["repository"].clone());
        for image in images.iter().filter(|image| !image.is_null()) {
            assert_eq!(image, "flotilla/fleet", "in chart {chart}");
        }
    }
}
