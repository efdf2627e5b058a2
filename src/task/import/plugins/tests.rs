use std::fs;

use super::*;

fn config(names: &[&str]) -> Config {
    let mut config = Config::default();
    config.image_import_opts.image_import_plugins = names.iter().map(|name| (*name).to_owned()).collect();
    config
}

#[test]
fn plugins_run_in_the_order_of_the_configuration() {
    let named = ["image_conversion", "no_op", "image_decompression", "inject_image_metadata", "no_op"];
    let plugins = Plugins::new(&config(&named)).unwrap();
    let names: Vec<&str> = plugins.0.iter().map(Plugin::name).collect();
    assert_eq!(names, named);
    let needs: Vec<bool> = plugins.0.iter().map(Plugin::needs_file).collect();
    assert_eq!(needs, [true, false, true, false, false]);
    assert!(plugins.need_file());
    assert!(!Plugins::new(&config(&["no_op", "inject_image_metadata"])).unwrap().need_file());
    assert!(Plugins::new(&Config::default()).unwrap().0.is_empty());
    let unknown = Plugins::new(&config(&["no_op", "virus_scan"])).unwrap_err();
    assert!(unknown.to_string().contains("virus_scan"));
}

#[tokio::test]
async fn metadata_is_injected_unless_the_caller_is_spared() {
    let folder = tempfile::tempdir().unwrap();
    let staged = Staged { path: folder.path().join("none"), disk_format: None, container_format: None };
    let mut config = config(&["no_op", "inject_image_metadata"]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    config.inject_metadata_properties.inject = vec![pair("origin", "import"), pair("b", "")];
    config.inject_metadata_properties.ignore_user_roles = vec!["admin".to_owned(), "robot".to_owned()];
    let progress = Progress::default();
    let [nothing_done, injecting] = <[Plugin; 2]>::try_from(Plugins::new(&config).unwrap().0).unwrap();
    for (roles, wanted) in
        [(&["member", "reader"][..], 2), (&[], 2), (&["administrator"], 2), (&["member", "robot"], 0), (&["admin"], 0)]
    {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let findings = injecting.apply(&staged, &roles, &progress).await.unwrap();
        assert_eq!(findings.properties.len(), wanted, "{roles:?}");
        assert_eq!(Findings { properties: Vec::new(), ..findings }, Findings::default());
        assert_eq!(nothing_done.apply(&staged, &roles, &progress).await.unwrap(), Findings::default());
    }
}

#[test]
fn no_property_of_the_service_is_injected() {
    let mut config = config(&["inject_image_metadata"]);
    let names = ["os_glance_stage_host", "a", "os_glance_import_task", "os_glanced", "os_distro", "xos_glance"];
    config.inject_metadata_properties.inject = names.map(|name| (name.to_owned(), "x".to_owned())).to_vec();
    let Plugin::InjectMetadata(injection) = Plugin::named("inject_image_metadata", &config).unwrap() else {
        panic!("another plugin");
    };
    let left: Vec<&str> = injection.of(&[]).iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, ["a", "os_distro", "xos_glance"]);
}

#[tokio::test]
async fn a_plugin_for_which_nobody_waits_stops_and_one_that_panics_refuses() {
    let stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    let progress = Progress::default();
    let endless = aside(&progress, move |interrupt| {
        while interrupt.check().is_ok() {
            std::thread::yield_now();
        }
        std::thread::park_timeout(std::time::Duration::from_millis(50));
        seen.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    });
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), endless).await.is_err());
    progress.threads().close();
    progress.threads().wait().await;
    assert!(stopped.load(std::sync::atomic::Ordering::SeqCst), "the thread goes on");
    let niceness = || rustix::process::getpriority_process(None).unwrap();
    let nicer = aside(&progress, move |_| Ok(niceness())).await.unwrap();
    assert_eq!(nicer, (niceness() + 10).min(19), "it does not give way to others");
    let crafted: Result<(), _> = aside(&progress, |_| panic!("an index is out of bounds")).await;
    assert_eq!(crafted.unwrap_err().to_string(), "The image cannot be read");
    progress.give_up();
    let unwanted = aside(&progress, Interrupt::check).await;
    assert_eq!(unwanted.unwrap_err().to_string(), "the image has been deleted");
}

#[tokio::test]
async fn what_is_decompressed_can_be_converted() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk.qcow2");
    let path = folder.path().join("image");
    let run = |program: &str, arguments: &[&str]| {
        let done = std::process::Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    run("qemu-img", &["create", "-q", "-f", "qcow2", disk.to_str().unwrap(), "3M"]);
    fs::write(&path, run("gzip", &["-c", disk.to_str().unwrap()])).unwrap();
    let mut staged = Staged { path, disk_format: Some("qcow2".to_owned()), container_format: Some("bare".to_owned()) };
    let plugins = Plugins::new(&config(&["image_decompression", "image_conversion"])).unwrap();
    let progress = Progress::default();
    let mut told = Findings::default();
    for plugin in plugins.iter() {
        told.add(plugin.run(&mut staged, &[], &progress).await.unwrap());
    }
    assert_eq!((told.size, told.virtual_size), (Some(3 << 20), Some(3 << 20)));
    assert_eq!((told.disk_format.as_deref(), told.container_format.as_deref()), (Some("raw"), Some("bare")));
    assert_eq!((told.path.as_ref(), staged.disk_format.as_deref()), (Some(&staged.path), Some("raw")));
    assert_eq!(progress.message(None), "Converting (100 %)");
    assert_eq!(fs::read(&staged.path).unwrap(), vec![0; 3 << 20]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the converted image alone is left");
}
