"""`probe_run`: what the encoder of a finished run knows of the study's outcomes."""

from collections.abc import Sequence
from pathlib import Path

from fedehr_client.answers.site_data import SiteData
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import CheckpointError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.outcome.finished_run import read_vocabulary, site_location
from fedehr_simulations.probe.binary_outcomes import BinaryOutcomes
from fedehr_simulations.probe.encodings import encode_site, join_sites
from fedehr_simulations.probe.frozen_encoder import FrozenEncoder, last_weights, without_adapters
from fedehr_simulations.probe.probing import ProbeRules, ProbeScore, probe_tasks


def probe_run(
    run_folder: Path, sites: Sequence[SiteFolder], work: Path, rules: ProbeRules | None = None
) -> tuple[ProbeScore, ...]:
    """Probe the last checkpoint of a run with the labels of `sites`.

    Args:
        run_folder: what a coordinator wrote: study, vocabulary, checkpoints.
        sites: whose labelled examples; they need not have taken part.
        work: scratch for token stores.
        rules: None: the study's own.

    Raises:
        CheckpointError: the run left no study, vocabulary or weights.
        DataError: a site lacks a task, or a file is damaged.
    """
    study, vocabulary = read_study(run_folder), read_vocabulary(run_folder)
    weights = without_adapters(last_weights(run_folder), study)
    encoder = FrozenEncoder(study.model, vocabulary.num_tokens, weights)
    encodings = [
        encode_site(encoder, SiteData(site_location(study, site, work), study, vocabulary))
        for site in sites
    ]
    rules = rules or ProbeRules(study.vocabulary.min_cell, study.evaluation.num_bootstraps)
    outcomes = BinaryOutcomes.of(study)
    probed = probe_tasks(outcomes.asked(join_sites(encodings)), outcomes.names, rules)
    return tuple(task.score(rules) for task in probed)


def read_study(run_folder: Path) -> StudyConfig:
    """The study that a run carried out.

    Raises:
        CheckpointError: the run has none.
        ConfigError: another version of fedehr wrote it.
    """
    file = run_folder / "study.json"
    try:
        return StudyConfig.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {file}. Name the folder of a run.") from error
