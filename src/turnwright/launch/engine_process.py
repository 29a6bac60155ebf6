"""Starts an engine in a process of its own, over the same policy as the one here."""

import os
import shutil
from dataclasses import replace

from turnwright.config import RunConfig
from turnwright.core.errors import ConfigError
from turnwright.inference.remote import ProcessEngine
from turnwright.inference.wire import WorkerSettings
from turnwright.inference.worker_process import WorkerProcess
from turnwright.launch.cores import share_cores
from turnwright.models.adapters import AdapterSettings
from turnwright.models.devices import spare_gpu
from turnwright.models.load import Policy
from turnwright.models.publication import Publisher, differing, fingerprint, publication_folder


def start_engine(config: RunConfig, policy: Policy, *, adapters: AdapterSettings | None) -> ProcessEngine:
    """Start a worker that loads a policy as this process did, and return its engine.

    Args:
        config: Its [inference], [sampling], [rollout], [model] and [run] sections count.
        policy: As it was loaded; what changes in it later reaches the worker by ``publish``.
        adapters: Those that it was loaded with.

    Raises:
        ConfigError: The worker has other weights: what ``policy`` was loaded from has changed since.
        EngineStoppedError: The process ended before its engine worked.
    """
    folder = publication_folder(policy)
    try:
        spare = spare_gpu()
        worker = WorkerProcess(
            WorkerSettings(
                model=policy.path,
                dtype=config.model.dtype,
                adapters=adapters,
                kv_memory_mb=config.inference.kv_memory_mb,
                max_queue=config.inference.max_queue,
                max_slots=config.rollout.rollout_max_concurrency,
                max_sequence_length=config.sampling.max_sequence_length,
                num_threads=share_cores(config).engine,
                deterministic=config.run.deterministic,
                parent=os.getpid(),
                folder=folder,
            ),
            environment={"CUDA_VISIBLE_DEVICES": spare} if spare else {},
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    different = differing(fingerprint(policy), worker.ready.fingerprint)
    if different:
        worker.abandon()
        raise ConfigError(
            f"the engine's process loaded other weights from '{policy.path}' than this one: {len(different)} tensors "
            f"differ, first {different[0]!r}; the files have changed meanwhile: start again"
        )
    # Only names and sizes of it were needed, and it may be large.
    worker.ready = replace(worker.ready, fingerprint={})
    return ProcessEngine(worker, Publisher(policy, folder), deterministic=config.run.deterministic)
