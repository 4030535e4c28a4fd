//! How the published program is linked.
//!
//! An idle process keeps mostly pages of the program, and the kernel brings them in by windows of
//! 64 kB: with the functions that run laid side by side it keeps a third of them. `cargo xtask
//! link-order` records which functions those are. An order that was recorded with another compiler
//! or other dependencies names functions that do not exist; the linker passes over them.

const ORDER: &str = "link/order.txt";

fn main() {
    println!("cargo::rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|held| held == value);
    // Where Rust links with LLD by itself; other linkers know no such options.
    let has_lld = is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !(has_lld && is("PROFILE", "release")) {
        return;
    }
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let options = [
        format!("--symbol-ordering-file={folder}/{ORDER}"),
        "--no-warn-symbol-ordering".to_owned(),
        // 2 MB of relocations, read whole at every start, become 20 kB. Needs glibc 2.36.
        "-z,pack-relative-relocs".to_owned(),
    ];
    for option in options {
        println!("cargo::rustc-link-arg-bin=fleet=-Wl,{option}");
    }
    link_unwinder();
}

/// Has the linker find the unwinder's archive where it looks for the shared library: one library
/// less to load at each start, and to have in an image.
fn link_unwinder() {
    let folder = std::env::var("OUT_DIR").unwrap_or_default();
    let script = "GROUP ( -lgcc_eh -lgcc )\n";
    if std::fs::write(format!("{folder}/libgcc_s.so"), script).is_ok() {
        println!("cargo::rustc-link-arg-bin=fleet=-L{folder}");
    }
}
