"""Decoder families of transformers as tiny random models: the one list of them, made from configs without any file.

A family is a model type and what its config needs beside TINY, of which each config takes the names that it knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.workers.language_models import CHARACTERS

WINDOW = 8  # tokens: shorter than most of what is read here
POSITIONS = 256
LOUDER = 8.0  # as initialised, all logits are nearly equal and every mistake would look small

TINY: dict[str, Any] = {
    "vocab_size": len(CHARACTERS),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 16),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 3),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), POSITIONS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "sliding_window": WINDOW,
    "attention_chunk_size": WINDOW,
    "state_size": 8,
    "conv_kernel": 4,
    "rotary_dim": 8,
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    # what is drawn in training would differ between one batch and its parts
    **dict.fromkeys(
        ("dropout", "attention_dropout", "hidden_dropout", "activation_dropout", "classifier_dropout"), 0.0
    ),
    **dict.fromkeys(("attn_pdrop", "resid_pdrop", "embd_pdrop", "embed_dropout", "layerdrop", "attn_dropout"), 0.0),
    **dict.fromkeys(
        (
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "resid_dropout",
            "embedding_dropout",
            "residual_dropout",
        ),
        0.0,
    ),
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LATENT = {  # multi-head latent attention: a key for each query head
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "head_dim": 8,
}
MAMBA = {"mamba_d_state": 8, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_chunk_size": 8}
HYBRID = ["linear_attention", "full_attention", "linear_attention"]
SLIDES = ["sliding_attention", "full_attention", "sliding_attention"]
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


@dataclass(frozen=True)
class Family:
    """`refused`: a word of the refusal that is right for it, where it is not measured."""

    model_type: str
    more: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    note: str = ""
    louder: float = LOUDER
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.model_type}-{self.note}" if self.note else self.model_type

    def config(self) -> Any:
        kind = CONFIG_MAPPING[self.model_type]
        if "text_config" in self.more:
            return kind(**self.more)
        default = kind()
        known = {**default.to_dict(), **getattr(default, "attribute_map", {})}
        return kind(**{**{name: value for name, value in TINY.items() if name in known}, **self.more})

    def model(self) -> PreTrainedModel:
        torch.manual_seed(self.seed)
        causal = self.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        model = (AutoModelForCausalLM if causal else AutoModelForImageTextToText).from_config(self.config())
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(self.louder)
        model.eval()
        assert isinstance(model, PreTrainedModel)
        return model


def rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **more}}


# A few of every kind, for `make test`; all of FAMILIES are for `make zoo`.
REDUCED = (
    "llama",
    "gemma2",
    "gemma3_text",
    "gpt_oss",
    "granite",
    "phi3-longrope",
    "llama-dynamic",
    "lfm2",
    "bert",
)

FAMILIES = [
    # every layer sees every token
    *(
        Family(name)
        for name in (
            "apertus",
            "arcee",
            "aria_text",
            "biogpt",
            "bitnet",
            "bloom",
            "codegen",
            "cohere",
            "ctrl",
            "diffllama",
            "doge",
            "ernie4_5",
            "ernie4_5_moe",
            "falcon",
            "flex_olmo",
            "gemma",
            "glm",
            "glm4",
            "glm4_moe",
            "gpt2",
            "gpt_bigcode",
            "gpt_neox",
            "gpt_neox_japanese",
            "gptj",
            "helium",
            "hunyuan_v1_dense",
            "hunyuan_v1_moe",
            "hyperclovax",
            "jetmoe",
            "llama",
            "minimax_m2",
            "mixtral",
            "mpt",
            "nanochat",
            "nemotron",
            "olmo",
            "olmo2",
            "olmoe",
            "opt",
            "persimmon",
            "phi",
            "phi3",
            "phimoe",
            "qwen2",
            "qwen2_moe",
            "qwen3",
            "qwen3_moe",
            "seed_oss",
            "smollm3",
            "solar_open",
            "stablelm",
            "starcoder2",
            "xglm",
        )
    ),
    Family("gpt_neo", {"attention_types": [[["global", "local", "global"], 1]], "num_layers": 3, "window_size": 8}),
    # logits that are scaled after the projection; most of those that cap them slide too
    Family("granite", {"logits_scaling": 4.0}),
    Family("granitemoe", {"logits_scaling": 4.0}),
    Family("granitemoeshared", {"logits_scaling": 4.0}),
    Family("openai-gpt"),
    Family(
        "dbrx",
        {
            "attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 8.0},
            "ffn_config": {"ffn_hidden_size": 16},
        },
    ),
    # latent attention
    Family("deepseek_v2", LATENT),
    Family("deepseek_v3", LATENT),
    Family("glm4_moe_lite", LATENT),
    Family("longcat_flash", {**LATENT, "num_layers": 2, "expert_ffn_hidden_size": 16, "ffn_hidden_size": 48}),
    Family("minicpm3", LATENT),
    Family("youtu", LATENT),
    Family("dots1", {"num_key_value_heads": 4, "n_shared_experts": 1}),
    # windows and chunks
    Family("afmoe"),
    Family("cohere2"),
    Family("cwm"),
    Family("exaone4"),
    Family("exaone_moe"),
    Family("gemma2"),
    Family("gemma3_text", {"layer_types": SLIDES}),
    Family("gpt_oss"),
    Family("granite_swa"),
    Family("llama4_text"),
    Family("mimo_v2_flash"),
    Family("ministral"),
    Family("ministral3"),
    Family("mistral"),
    Family("modernbert-decoder"),
    Family("olmo3", {"layer_types": SLIDES}),
    Family("qwen2", {"use_sliding_window": True, "max_window_layers": 1}, note="window"),
    Family("starcoder2", {"sliding_window": WINDOW}, note="window"),
    Family("phi3", {"sliding_window": WINDOW}, note="window"),
    Family("vaultgemma", {"layer_types": SLIDES}),
    Family(
        "gemma3n_text",
        {
            "layer_types": SLIDES,
            "num_kv_shared_layers": 0,
            "laurel_rank": 4,
            "intermediate_size": [48] * 3,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": len(CHARACTERS),
            "activation_sparsity_pattern": [0.0] * 3,
        },
    ),
    Family(
        "gemma4_text",
        {
            "layer_types": SLIDES,
            "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": len(CHARACTERS),
            "global_head_dim": 8,
            "num_global_key_value_heads": 2,
        },
    ),
    # rotary frequencies that depend on the length
    Family(
        "phi3",
        {
            "original_max_position_embeddings": 32,
            **rope("longrope", short_factor=[1.0] * 4, long_factor=[4.0] * 4, original_max_position_embeddings=32),
        },
        note="longrope",
    ),
    Family("llama", {"max_position_embeddings": 32, **rope("dynamic", factor=8.0)}, note="dynamic"),
    Family("llama", rope("yarn", factor=8.0, original_max_position_embeddings=32), note="yarn"),
    Family(
        "llama",
        rope("llama3", factor=8.0, original_max_position_embeddings=32, low_freq_factor=1.0, high_freq_factor=4.0),
        note="llama3",
    ),
    # recurrent and convolutional layers
    Family("bamba", {**MAMBA, "attn_layer_indices": [1]}),
    Family("falcon_h1", {**MAMBA, "mamba_d_ssm": 64}),
    Family("falcon_mamba"),
    Family("granitemoehybrid", {**MAMBA, "layer_types": ["mamba", "attention", "mamba"]}),
    Family(
        "jamba",
        {
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "attn_layer_offset": 1,
            "attn_layer_period": 2,
            "use_mamba_kernels": False,
        },
    ),
    Family("lfm2", {"layer_types": ["conv", "full_attention", "conv"]}),
    Family("lfm2_moe", {"layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1}),
    Family("mamba"),
    Family("mamba2", {"num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8}),
    Family("minimax", {"layer_types": ["linear_attention", "full_attention", "linear_attention"], "block_size": 8}),
    Family(
        "nemotron_h",
        {
            "layers_block_type": ["mamba", "attention", "mlp"],
            "mamba_num_heads": 4,
            "mamba_head_dim": 16,
            "n_groups": 1,
            "ssm_state_size": 8,
            "chunk_size": 8,
        },
    ),
    Family("qwen3_5_text", {"layer_types": HYBRID}),
    Family("qwen3_next", {"layer_types": HYBRID}),
    Family("olmo_hybrid", {"layer_types": HYBRID}),
    Family("kimi_linear", {**LATENT, "layer_types": HYBRID, "linear_head_dim": 8, "linear_num_heads": 2}),
    Family("recurrent_gemma", {"lru_width": 32, "attention_window_size": WINDOW, "num_hidden_layers": 3}),
    Family("rwkv", {"attention_hidden_size": 32}),
    Family(
        "zamba",
        {
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "n_mamba_heads": 2,
            "num_hidden_layers": 6,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "use_mamba_kernels": False,
            "attention_head_dim": 16,
        },
    ),
    Family(
        "zamba2",
        {
            **MAMBA,
            "n_mamba_heads": 4,
            "layers_block_type": ["mamba", "hybrid", "mamba"],
            "hybrid_layer_ids": [1],
            "chunk_size": 8,
            "use_mem_rope": False,
        },
    ),
    # models that also see, through their text
    Family(
        "gemma3",
        {
            "text_config": {**TINY, "layer_types": SLIDES},
            "vision_config": VISION,
            "image_token_index": 90,
            "boi_token_index": 91,
            "eoi_token_index": 92,
            "mm_tokens_per_image": 4,
        },
    ),
    Family(
        "mistral3",
        {
            "text_config": {"model_type": "mistral", **TINY, "sliding_window": None},
            "vision_config": {"model_type": "pixtral", **VISION},
            "image_token_index": 90,
        },
    ),
    Family(
        "llava",
        {
            "text_config": {"model_type": "llama", **TINY, "sliding_window": None},
            "vision_config": {"model_type": "clip_vision_model", **VISION},
            "image_token_index": 90,
        },
    ),
    Family(
        "qwen2_5_vl",
        {
            "text_config": {
                **TINY,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]},
            },
            "vision_config": {
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": 32,
            },
            "image_token_id": 90,
            "video_token_id": 91,
            "vision_start_token_id": 92,
            "vision_end_token_id": 93,
        },
    ),
    Family(
        "llama4",
        {
            "text_config": {**TINY, "intermediate_size_mlp": 48},
            "vision_config": {**VISION, "vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16},
            "image_token_index": 90,
        },
    ),
    # not models of the next token
    Family("bert", refused="not causal"),
    Family("roberta", refused="not causal"),
    Family("xlm-roberta", refused="not causal"),
    Family("electra", refused="not causal"),
    Family("bart", {"decoder_layers": 2, "decoder_ffn_dim": 16, "decoder_attention_heads": 2}),  # its decoder alone
    Family("bert", {"is_decoder": True}, note="decoder"),
]
