"""`penstock plan` and `penstock validate` look at graphs without running anything."""

from __future__ import annotations

import json

DIAMOND = """
import penstock

def body():
    raise AssertionError("nothing may run")

graph = penstock.TaskGraph()
graph.add_task("make", body)
graph.add_task("left", body, depends_on=["make"])
graph.add_task("right", body, depends_on=["make"])
graph.add_task("join", body, depends_on=["left", "right"])
graph.add_task(("not", "text"), body)
"""


def test_a_plan_is_printed_with_its_shape_critical_path_and_stages(cli, flow):
    flow(DIAMOND)
    code, out, err = cli("plan", "flow.py")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    time = next(line for line in lines if line.startswith("  planning time"))
    assert lines == [
        "Plan of flow.py:graph",
        "  tasks            5",
        "  dependencies     4",
        "  stages           3",
        "  width            2 tasks in the largest stage",
        "  max parallelism  3 tasks in flight if run stage by stage",
        "  critical path    3 tasks",
        time,
        "Critical path",
        "  make -> left -> join",
        "Stages",
        "  0  2 tasks: make, ('not', 'text')",
        "  1  2 tasks: left, right",
        "  2  1 task: join",
    ]


def test_a_large_plan_shows_its_beginning(cli, flow):
    flow("""
import penstock
rows = {0: []}
for stage in range(8):
    rows.update({(stage, i): [0] if stage == 0 else [(stage - 1, 0)] for i in range(9)})
graph = penstock.TaskGraph.from_predecessors(rows)
""")
    lines = cli("plan", "flow.py").out.splitlines()
    assert "  0 -> (0, 0) -> (1, 0) -> (2, 0) -> (3, 0) -> (4, 0) -> ..." in lines
    at = lines.index("First stages")
    assert len(lines) == at + 6
    assert lines[at + 2] == "  1  9 tasks: (0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), ..."


def test_the_plan_as_json_has_every_stage(cli, flow, folder):
    flow(DIAMOND)
    assert cli("plan", "flow.py", "--json", "plan.json").out.startswith("Plan of flow.py:graph")
    plan = json.loads((folder / "plan.json").read_text())
    assert plan.pop("planning_duration") > 0
    assert plan == {
        "graph": "flow.py:graph",
        "total_tasks": 5,
        "n_dependencies": 4,
        "total_stages": 3,
        "width": 2,
        "max_parallelism": 3,
        "work": None,
        "critical_path": {"tasks": ["make", "left", "join"], "duration": None},
        "stages": [
            {"stage_id": 0, "start_tasks": ["make", "('not', 'text')"]},
            {"stage_id": 1, "start_tasks": ["left", "right"]},
            {"stage_id": 2, "start_tasks": ["join"]},
        ],
    }
    assert json.loads(cli("plan", "flow.py", "--json", "-").out)["total_tasks"] == 5


def test_a_recorded_workflow_is_planned_with_its_times(cli, folder):
    tasks = [{"name": name, "runtimeInSeconds": seconds, "parents": parents} for name, seconds, parents in (
        ("a", 1.5, []), ("short", 1, ["a"]), ("long", 60, ["a"]),
    )]  # fmt: skip
    (folder / "w.json").write_text(json.dumps({"name": "w", "workflow": {"tasks": tasks}}))
    out = cli("plan", "w.json").out
    assert "  critical path    2 tasks, 61.50 s as recorded\n  work             62.50 s as recorded\n" in out
    assert "  a -> long\n" in out
    plan = json.loads(cli("plan", "w.json", "--json", "-").out)
    assert plan["critical_path"] == {"tasks": ["a", "long"], "duration": 61.5}
    assert plan["work"] == 62.5


def test_an_empty_graph_has_a_plan(cli, flow):
    flow("import penstock\ngraph = penstock.TaskGraph()\n")
    lines = cli("plan", "flow.py").out.splitlines()
    assert "  tasks            0" in lines
    assert lines[-1].startswith("  planning time")


def test_valid_graphs_get_a_line_each(cli, flow):
    flow(DIAMOND)
    flow("import penstock\nplan = penstock.TaskGraph.from_predecessors({1: [], 2: [1]}).plan()\n", "other.py")
    assert cli("validate", "flow.py", "other.py") == (
        0,
        "flow.py:graph: OK, 5 tasks, 4 dependencies, 3 stages\nother.py:plan: OK, 2 tasks, 1 dependency, 2 stages\n",
        "",
    )


def test_all_graphs_are_looked_at_whatever_is_wrong_with_one(cli, flow):
    flow(DIAMOND)
    flow("1 / 0\n", "raises.py")
    flow("import sys\nsys.exit()\n", "exits.py")
    flow(
        "import penstock\ngraph = penstock.TaskGraph.from_predecessors({1: [2], 2: [1], 3: [4]})\n",
        "cycle.py",
    )
    code, out, err = cli("validate", "missing.json", "raises.py", "exits.py", "cycle.py", "flow.py")
    assert code == 2
    assert out == "flow.py:graph: OK, 5 tasks, 4 dependencies, 3 stages\n"
    told = [line for line in err.splitlines() if line.startswith("penstock: error: ")]
    assert [line.split()[2].rstrip(":") for line in told] == [
        "missing.json",
        "raises.py",
        "exits.py",
        "cycle.py:graph",
    ]
    assert "exits.py ended with exit code 0 and gave no graph" in err
    assert "cycle.py:graph cannot be planned, because of 2 problems" in err


def test_every_function_gets_the_arguments(cli, flow):
    flow(
        "import penstock\ndef main(names):\n    return penstock.TaskGraph.from_predecessors(dict.fromkeys(names, []))\n"
    )
    assert "2 tasks" in cli("validate", "flow.py", "--", "x", "y").out
    assert "3 tasks" in cli("plan", "flow.py", "--", "x", "y", "z").out
