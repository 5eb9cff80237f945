"""`fedehr-server contract`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_shared.contract.signed_contract import SignedContract
    from fedehr_shared.contract.study_contract import StudyContract

app = typer.Typer()


@app.command()
def contract(  # noqa: PLR0917 - a command line's parameters
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The coordinator's folder.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study.")],
    sites: Annotated[
        str | None, typer.Option(metavar="A,B", help="Who takes part; left out, all sites.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, max=3_650, help="Until its deadline.")] = 30,
    runs: Annotated[int, typer.Option(min=1, max=1_000, help="How often it may be run.")] = 1,
    max_codes: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Codes that a site may name.")
    ] = 20_000,
    max_tokens: Annotated[
        int, typer.Option(min=1, max=100_000_000, help="Tokens that the vocabulary may have.")
    ] = 50_000,
    out_file: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it here too: a new file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Sign the contract of a study: all that it may ask of a site.

    Sites approve it by its digest, from the file or from `propose`.
    """
    from fedehr_server.network.contract_draft import ContractWishes, draft_contract
    from fedehr_server.network.contract_shelf import ContractShelf
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_shared.config.study import StudyConfig
    from fedehr_shared.errors import UsageError

    coordinator = open_coordinator(folder)
    names = None if sites is None else tuple(name.strip() for name in sites.split(","))
    wishes = ContractWishes(names, days, runs, max_codes, max_tokens)
    read = StudyConfig.load(study)
    if out_file is not None and (out_file.exists() or not out_file.parent.is_dir()):
        raise UsageError(f"cannot write {out_file}. Name a new file, in a folder that is there.")
    err.print("reckoning what the study asks for ...")
    drafted = draft_contract(coordinator, read, wishes)
    shelf = ContractShelf(coordinator)
    signed = shelf.sign(drafted)
    kept = shelf.file_of(drafted.digest)
    if out_file is not None:
        _write(signed, out_file, kept)
    if json:
        content = drafted.model_dump(mode="json")
        file = str((out_file or kept).absolute())
        print_json({"digest": drafted.digest, "file": file, "contract": content})
        return
    out.print(f"contract {drafted.digest}", soft_wrap=True)
    for line in _summary(drafted):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    if out_file is not None:
        out.print(f"wrote {out_file}", soft_wrap=True, markup=False)
    out.print(f"next: fedehr-server propose {folder} {study}", soft_wrap=True, markup=False)
    out.print(f"or send {out_file or kept} to the sites", soft_wrap=True, markup=False)


def _write(signed: "SignedContract", file: Path, kept: Path) -> None:
    from fedehr_shared.errors import UsageError

    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(signed.to_json() + "\n")
    except OSError as error:
        raise UsageError(
            f"cannot write {file}: {error.strerror}. Name a new file; the contract itself is "
            f"{kept}."
        ) from error


def _summary(drafted: "StudyContract") -> list[str]:
    from fedehr_server.network.display import format_bytes

    rounds = ", ".join(f"{phase} {number}" for phase, number in drafted.rounds.items())
    most = ", ".join(
        f"{phase} {format_bytes(number)}" for phase, number in drafted.max_answer_bytes.items()
    )
    epsilon = "no noise at the sites"
    if drafted.subject_epsilon is not None:
        epsilon = f"epsilon {drafted.subject_epsilon:.4g} at delta {drafted.subject_delta:g}"
    return [
        f"study {drafted.study.name}, sites {', '.join(drafted.sites)}",
        f"until {drafted.deadline}, runs: {drafted.num_runs}",
        f"rounds: {rounds}",
        f"an answer at most: {most}",
        f"a run at most: {format_bytes(drafted.max_run_bytes)} from each site",
        f"each subject: {epsilon}",
    ]
