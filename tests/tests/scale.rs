//! The figures of `docs/scale.md`: every one of its tables but the first is computed from the first.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What one row says for a number of gateways: bytes, seconds or a plain number.
type Formula = fn(&Inputs, f64) -> f64;

/// The rows of all derived tables, by their names.
const FORMULAS: &[(&str, Formula)] = &[
    ("agents in its memory", |i, _| {
        (i.of("memory of the machine") / i.agent_on_a_machine()).floor()
    }),
    ("built-in gateways in its memory", |i, _| {
        (i.of("memory of the machine") / i.built_in_on_a_machine()).floor()
    }),
    ("gateways that its process IDs suffice for", |i, _| {
        (i.of("processes that the machine's kernel allows")
            / i.of("processes of a gateway under s6"))
        .floor()
    }),
    ("`/run` of 1,000 gateways", |i, _| 1e3 * i.of("directory in memory of a service")),
    ("start of 1,000 gateways", |i, _| 1e3 * i.of("start of many gateways on one machine, each")),
    ("boot of 1,000 gateways, until all are ready", |i, _| {
        1e3 * i.of("boot of many gateways on one machine, each")
    }),
    ("memory of 1,000 agents", |i, _| 1e3 * i.agent_on_a_machine()),
    ("memory of 5,000 built-in gateways", |i, _| 5e3 * i.built_in_on_a_machine()),
    ("boot of 5,000 gateways, until all are ready", |i, _| {
        5e3 * i.of("boot of many gateways on one machine, each")
    }),
    ("API objects: StatefulSets, their revisions, Pods", |_, n| 3.0 * n),
    ("what they take in etcd", |i, n| {
        let kinds = ["a Pod in etcd", "a StatefulSet in etcd", "a ControllerRevision in etcd"];
        n * kinds.iter().map(|kind| i.of(kind)).sum::<f64>()
    }),
    ("one list of all Pods", |i, n| n * i.of("a Pod as JSON")),
    ("one list of all StatefulSets", |i, n| n * i.of("a StatefulSet as JSON")),
    ("both lists, which is one `status --all`", |i, n| {
        n * (i.of("a Pod as JSON") + i.of("a StatefulSet as JSON"))
    }),
    ("time of both lists on the server", |i, n| {
        n * (i.of("list of Pods, each") + i.of("list of StatefulSets, each"))
    }),
    ("what one watcher of everything gets while all start", |i, n| {
        n * i.of("what watchers of everything get at a start")
    }),
    ("clusters, for their Pods", |i, n| i.clusters(n)),
    ("gateways of each cluster", |i, n| (n / i.clusters(n)).ceil()),
    ("start of all from nothing, all clusters at the same time", |i, n| {
        n / i.clusters(n) / i.of("Pods that the controller of StatefulSets makes")
    }),
    ("start of all, with the controller to itself", |i, n| {
        n / i.of("Pods that the controller of StatefulSets makes")
    }),
    ("nodes, for their Pods", |i, n| (n / i.of("Pods of a node")).ceil()),
    ("memory of built-in gateways with their Pods", |i, n| {
        n * (i.of("memory that a Pod costs its node beside the gateway")
            + i.of("memory of an idle built-in gateway, among many"))
    }),
    ("memory of agents with their Pods", |i, n| {
        n * (i.of("memory that a Pod costs its node beside the gateway")
            + i.of("memory of an idle gateway of the Python agent"))
    }),
    ("processors for probes alone, on all nodes", |i, n| {
        n * i.of("probes of a gateway") * i.of("processor time of the node for a probe")
    }),
    ("namespaces, homes, volumes and consoles", |i, n| {
        (n / i.of("gateways of a namespace")).ceil()
    }),
    // The console's.
    ("mounts of its volume", |_, n| n + 1.0),
];

/// The derived tables by their headings, with the numbers of gateways of their columns; none for those of a namespace.
const TABLES: [(&str, &[f64]); 3] =
    [("one machine", &[0.0]), ("in a cluster", &[1e4, 1e6]), ("a namespace of this size", &[])];

/// The first table, in bytes and seconds.
struct Inputs(BTreeMap<String, f64>);

impl Inputs {
    fn of(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("there is no input `{name}`"))
    }

    fn built_in_on_a_machine(&self) -> f64 {
        self.of("memory of an idle built-in gateway, among many")
            + self.of("memory of its supervision under s6")
    }

    fn agent_on_a_machine(&self) -> f64 {
        self.of("memory of an idle gateway of the Python agent")
            + self.of("memory of its supervision under s6")
    }

    fn clusters(&self, n: f64) -> f64 {
        (n / self.of("Pods of a cluster")).ceil()
    }
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scale.md");
    fs::read_to_string(path).expect("the page")
}

/// The cells of the table whose first heading is `heading`.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let head = format!("| {heading} |");
    let lines = page.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let rows: Vec<Vec<String>> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "there is no table `{heading}`");
    rows
}

/// What one of a unit is in bytes or seconds.
fn factor(unit: &str) -> f64 {
    match unit {
        "" | "s" | "per s" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "ms" => 1e-3,
        "min" => 60.0,
        "h" => 3600.0,
        _ => panic!("`{unit}` is no unit"),
    }
}

/// The value of a figure, and half of its last digit.
fn figure(cell: &str) -> (f64, f64) {
    let (number, unit) = cell.split_once(' ').unwrap_or((cell, ""));
    let number = number.replace(',', "");
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let decimals = i32::try_from(decimals).expect("few");
    let value: f64 = number.parse().unwrap_or_else(|_| panic!("`{cell}` is no figure"));
    (value * factor(unit), 0.5 * 10_f64.powi(-decimals) * factor(unit))
}

fn inputs(page: &str) -> Inputs {
    let rows = table(page, "input");
    let count = rows.len();
    let inputs = rows.into_iter().map(|row| (row[0].clone(), figure(&row[1]).0));
    let inputs: BTreeMap<_, _> = inputs.collect();
    assert_eq!(inputs.len(), count, "two inputs have one name");
    Inputs(inputs)
}

/// What is wrong with the figures of a page.
fn differences(page: &str) -> Vec<String> {
    let inputs = inputs(page);
    let formulas: BTreeMap<_, _> = FORMULAS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (heading, columns) in TABLES {
        let namespace = [inputs.of("gateways of a namespace")];
        let columns = if columns.is_empty() { &namespace[..] } else { columns };
        for row in table(page, heading) {
            let name = &row[0];
            assert_eq!(row.len(), columns.len() + 1, "{name}");
            let formula = formulas.get(&**name).unwrap_or_else(|| panic!("what is `{name}`?"));
            for (cell, n) in row[1..].iter().zip(columns) {
                let (stated, precision) = figure(cell);
                let computed = formula(&inputs, *n);
                // The last digit may be rounded either way.
                if (stated - computed).abs() > precision * 1.0001 {
                    wrong.push(format!("{name}: {cell}, which is {computed}"));
                }
            }
        }
    }
    wrong
}

#[test]
fn every_figure_follows_from_the_inputs() {
    assert_eq!(differences(&page()), [""; 0]);
}

#[test]
fn every_input_and_formula_is_used() {
    let page = page();
    let tables = TABLES.map(|(heading, _)| table(&page, heading)).concat();
    for (name, _) in FORMULAS {
        assert!(tables.iter().any(|row| row[0] == *name), "no table has `{name}`");
    }
    for row in table(&page, "input") {
        // Twice as much of it changes some figure.
        let (value, _) = figure(&row[1]);
        let (_, unit) = row[1].split_once(' ').unwrap_or((&row[1], ""));
        let doubled = format!("{} {unit}", 2.0 * value / factor(unit));
        let at = page.find(&format!("| {} |", row[0])).expect("the row");
        let (before, after) = page.split_at(at);
        let changed = format!("{before}{}", after.replacen(&row[1], doubled.trim_end(), 1));
        assert!(!differences(&changed).is_empty(), "no figure needs `{}`", row[0]);
    }
}

#[test]
fn a_wrong_figure_is_found() {
    let page = page();
    for (right, wrong) in
        [("| 848 |", "| 849 |"), ("| 7.1 h |", "| 7.2 h |"), ("| 83 MB |", "| 84 MB |")]
    {
        assert!(page.contains(right), "{right}");
        assert_eq!(differences(&page.replacen(right, wrong, 1)).len(), 1, "{wrong}");
    }
}
