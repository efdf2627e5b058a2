//! The rows that stand for locations while several stores are written at a time.

use serde_json::Value;

use super::super::common::{Request, Server};
use super::super::{
    MIB, Web, assert_free, conf, create, download, import, objects, shown, sqlite, wait_for_begin, wait_for_task,
};
use super::super::{PATIENCE, common::wait_for};

#[test]
fn where_an_import_writes_stands_in_the_database_and_nowhere_else() {
    let web = Web::start();
    let mut server = Server::with(|conf_of| conf(&web)(conf_of).set("image_import_opts.max_parallel_stores", 2));
    let id = create(&server);
    let database = server.conf.database();
    let rows = || {
        let select =
            "select value || ' ' || status || ' ' || meta_data from image_locations where deleted = 0 order by id";
        let rows = sqlite(&database, select);
        rows.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let placeholder = |store: &str| {
        format!(
            "pending://parallel-import/{id}/{store} uploading \
             {{\"store\": \"{store}\", \"os_glance_parallel_import\": \"pending\"}}"
        )
    };
    let begin = || {
        import(&server, &id, &download(&web));
        wait_for_begin(&web, &server, &id);
        // As upstream writes them.
        wait_for("placeholders", PATIENCE, || (!rows().is_empty()).then_some(()));
        assert_eq!(rows(), ["fast", "slow"].map(placeholder));
        let image = shown(&server, &id);
        assert_eq!((image.get("stores"), image.get("locations")), (None, None), "{image}");
        assert_eq!(image["os_glance_importing_to_stores"], "fast,slow");
    };
    begin();
    web.go_on.send(false).unwrap();
    wait_for_task(&server, &id, "failure");
    assert_free(&shown(&server, &id), "queued");
    assert!(rows().is_empty(), "{:?}", rows());

    begin();
    web.go_on.send(true).unwrap();
    wait_for_task(&server, &id, "success");
    assert_free(&shown(&server, &id), "active");
    let located = rows();
    assert!(located.len() == 2 && located.iter().all(|row| row.starts_with("file:///") && row.contains(" active ")));
    assert_eq!(shown(&server, &id)["size"], Value::from(3 * MIB));
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);

    a_deletion_meanwhile(&server, &web, &rows);
    server.conf.clone().set("DEFAULT.delayed_delete", true).write();
    server.crash();
    server.start_again();
    a_deletion_meanwhile(&server, &web, &rows);

    let id = create(&server);
    import(&server, &id, &download(&web));
    wait_for_begin(&web, &server, &id);
    wait_for("placeholders", PATIENCE, || (rows().len() == 2).then_some(()));
    server.crash();
    web.go_on.send(false).unwrap();
    server.start_again();
    let status = || shown(&server, &id)["status"].as_str().unwrap().to_owned();
    wait_for("recovery", PATIENCE, || (status() == "queued").then_some(()));
    assert_free(&shown(&server, &id), "queued");
    assert!(rows().is_empty(), "{:?}", rows());
}

/// An image whose data is on its way has nothing that could wait to be removed: it is gone, and the import removes what it wrote.
fn a_deletion_meanwhile(server: &Server, web: &Web, rows: &dyn Fn() -> Vec<String>) {
    let id = create(server);
    import(server, &id, &download(web));
    wait_for_begin(web, server, &id);
    wait_for("placeholders", PATIENCE, || (rows().len() == 2).then_some(()));
    server.send(&Request::new("DELETE", &format!("/v2/images/{id}"))).expect(204);
    assert!(!server.log().contains("stays"), "{}", server.log());
    let status = sqlite(&server.conf.database(), &format!("select status from images where id = '{id}'"));
    assert_eq!(status.trim(), "deleted");
    assert!(rows().is_empty(), "{:?}", rows());
    web.go_on.send(true).unwrap();
    let unfinished = "select count(*) from tasks where status in ('pending', 'processing')";
    let is_over = || sqlite(&server.conf.database(), unfinished).trim() == "0";
    wait_for("the end of the import", PATIENCE, || is_over().then_some(()));
    for folder in ["fast", "slow"] {
        wait_for("the data goes", PATIENCE, || objects(&server.conf, folder).is_empty().then_some(()));
    }
}
