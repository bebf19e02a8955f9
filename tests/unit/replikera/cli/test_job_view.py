import io

from rich.console import Console

from replikera.cli.job_view import render_job


def rendered(job: dict[str, object]) -> list[str]:
    sink = io.StringIO()
    Console(file=sink, width=120).print(render_job(job))
    return [" ".join(line.split()) for line in sink.getvalue().splitlines()]


def test_a_running_job_has_not_finished() -> None:
    assert "finished not yet" in rendered({"state": "running"})


def test_a_job_without_a_known_end_says_so() -> None:
    assert "finished unknown" in rendered({"state": "succeeded"})


def test_cause_and_remedy_show_only_where_there_are_some() -> None:
    lines = rendered({"state": "failed", "cause": "full", "remedy": None})
    assert "cause full" in lines
    assert not [line for line in lines if line.startswith("remedy")]


def test_what_a_job_found_is_shown() -> None:
    disk = {"disk_id": "d", "name": "os.vhdx", "size": 1024, "sha256": "ab" * 32}
    result = {"point": {"generation": "g", "sequence": 1}, "disks": [disk]}
    lines = rendered({"state": "succeeded", "result": result})
    assert lines[-2:] == ["DISK NAME SIZE SHA-256", f"d os.vhdx 1.0 KiB {'ab' * 32}"]


def test_what_is_kept_of_a_replica_is_shown() -> None:
    assert rendered({"state": "succeeded", "result": {"kept_paths": ["/x/a", "/x/b"]}})[-2:] == [
        "kept /x/a",
        "kept /x/b",
    ]
    assert rendered({"state": "succeeded", "result": {"kept_paths": []}})[-1] == "kept nothing"


def test_what_a_comparison_found_is_shown() -> None:
    result = {"checked_bytes": 2048, "differing_bytes": 0}
    assert rendered({"state": "succeeded", "result": result})[-2:] == [
        "compared 2.0 KiB",
        "different 0 bytes",
    ]
