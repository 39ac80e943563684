"""Architectures of Hugging Face's transformers, from tiny configurations, as data."""

from __future__ import annotations

from typing import Any

import torch

_TEXT = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
}
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_GROUPED = _TEXT | {"num_key_value_heads": 1, "head_dim": 8} | _SPECIAL
_GPT2 = {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
_EAGER = {"experts_implementation": "eager"}  # the default one multiplies in float32 at most
_MOE = (
    _GROUPED
    | _EAGER
    | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": True}
)
_IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 4,
}
_SEQ2SEQ = {
    "vocab_size": 50,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
}
_T5 = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
_SPEECH = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_stride": (4, 2),
    "conv_kernel": (8, 3),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
    "feat_extract_norm": "group",
}
_CLIP = {
    "text_config": _TEXT | {"eos_token_id": 49, "bos_token_id": 1, "pad_token_id": 0},
    "vision_config": _IMAGE,
    "projection_dim": 8,
}
_STAGES = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
_BRANCHES = {"num_channels": 3, "depths": [1, 1, 1, 1]}

RADII = {"deepseek_v3": 1e-6, "qwen2_moe": 1e-6}
"""Radii where the usual one leaves undecided which experts a token is sent to."""

HUGGING_FACE: dict[str, tuple[str, str, dict[str, Any]]] = {
    # text, from embeddings
    "albert": ("AlbertModel", "text", _TEXT | {"embedding_size": 16}),
    "bert": ("BertModel", "text", _TEXT),
    "big_bird": ("BigBirdModel", "text", _TEXT | {"attention_type": "original_full"}),
    "bloom": ("BloomModel", "text", {"vocab_size": 50, "hidden_size": 16, "n_layer": 2, "n_head": 2}),
    "camembert": ("CamembertModel", "text", _TEXT),
    "codegen": ("CodeGenModel", "text", _GPT2 | {"rotary_dim": 4, "n_head": 4}),
    "cohere": ("CohereModel", "text", _GROUPED),
    "convbert": ("ConvBertModel", "text", _TEXT | {"embedding_size": 16, "num_attention_heads": 4}),
    "deberta": ("DebertaModel", "text", _TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "deberta-v2": ("DebertaV2Model", "text", _TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "distilbert": (
        "DistilBertModel",
        "text",
        {"vocab_size": 50, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    ),
    "electra": ("ElectraModel", "text", _TEXT | {"embedding_size": 16}),
    "ernie": ("ErnieModel", "text", _TEXT),
    "esm": ("EsmModel", "text", _TEXT | {"pad_token_id": 1, "position_embedding_type": "rotary"}),
    "falcon": (
        "FalconModel",
        "text",
        {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    ),
    "fnet": ("FNetModel", "text", _TEXT),
    "gemma": ("GemmaModel", "text", _GROUPED),
    "gemma2": ("Gemma2Model", "text", _GROUPED),
    "gpt2": ("GPT2Model", "text", _GPT2),
    "gpt_bigcode": ("GPTBigCodeModel", "text", _GPT2),
    "gpt_neo": (
        "GPTNeoModel",
        "text",
        {
            "vocab_size": 50,
            "hidden_size": 16,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 32,
            "window_size": 4,
        },
    ),
    "gpt_neox": ("GPTNeoXModel", "text", _TEXT),
    "gptj": ("GPTJModel", "text", _GPT2 | {"rotary_dim": 4}),
    "ibert": ("IBertModel", "text", _TEXT),
    "llama": ("LlamaModel", "text", _GROUPED),
    "mamba": (
        "MambaModel",
        "text",
        {"vocab_size": 50, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2, "use_cache": False},
    ),
    "mistral": ("MistralModel", "text", _GROUPED | {"sliding_window": 4}),
    "mixtral": ("MixtralModel", "text", _GROUPED | _EAGER | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "modernbert": ("ModernBertModel", "text", _TEXT | {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}),
    "mpnet": ("MPNetModel", "text", _TEXT),
    "mpt": ("MptModel", "text", {"vocab_size": 50, "d_model": 16, "n_heads": 2, "n_layers": 2}),
    "nystromformer": ("NystromformerModel", "text", _TEXT | {"num_landmarks": 3, "segment_means_seq_len": 6}),
    "olmo": ("OlmoModel", "text", _GROUPED),
    "opt": (
        "OPTModel",
        "text",
        {
            "vocab_size": 50,
            "hidden_size": 16,
            "word_embed_proj_dim": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 32,
        },
    ),
    "phi": ("PhiModel", "text", _TEXT | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}),
    "phi3": ("Phi3Model", "text", _TEXT | {"num_key_value_heads": 1} | _SPECIAL),
    "qwen2": ("Qwen2Model", "text", _GROUPED),
    "qwen2_moe": ("Qwen2MoeModel", "text", _MOE | {"shared_expert_intermediate_size": 16}),
    "qwen3": ("Qwen3Model", "text", _GROUPED),
    "qwen3_moe": ("Qwen3MoeModel", "text", _MOE),
    "roberta": ("RobertaModel", "text", _TEXT | {"pad_token_id": 1}),
    "roformer": ("RoFormerModel", "text", _TEXT | {"embedding_size": 16}),
    "squeezebert": (
        "SqueezeBertModel",
        "text",
        _TEXT
        | {"embedding_size": 16}
        | dict.fromkeys(
            ("q_groups", "k_groups", "v_groups", "post_attention_groups", "intermediate_groups", "output_groups"), 2
        ),
    ),
    "stablelm": ("StableLmModel", "text", _TEXT | {"num_key_value_heads": 1} | _SPECIAL),
    "starcoder2": ("Starcoder2Model", "text", _TEXT | {"num_key_value_heads": 1} | _SPECIAL),
    "xlm-roberta": ("XLMRobertaModel", "text", _TEXT | {"pad_token_id": 1}),
    "xlnet": ("XLNetModel", "text", {"vocab_size": 50, "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 32}),
    "biogpt": ("BioGptModel", "text", _TEXT),
    "ctrl": (
        "CTRLModel",
        "text",
        {"vocab_size": 50, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "dff": 32},
    ),
    "deepseek_v3": (
        "DeepseekV3Model",
        "text",
        _TEXT
        | _EAGER
        | {
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "kv_lora_rank": 8,
            "q_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 8,
        },
    ),
    "funnel": (
        "FunnelModel",
        "text",
        {
            "vocab_size": 50,
            "d_model": 16,
            "n_head": 2,
            "d_head": 8,
            "d_inner": 32,
            "block_sizes": [1, 1],
            "num_decoder_layers": 1,
        },
    ),
    "longformer": ("LongformerModel", "text", _TEXT | {"attention_window": 4, "pad_token_id": 1}),
    "mamba2": (
        "Mamba2Model",
        "text",
        {
            "vocab_size": 50,
            "hidden_size": 16,
            "state_size": 4,
            "num_hidden_layers": 2,
            "num_heads": 4,
            "head_dim": 8,
            "n_groups": 1,
            "chunk_size": 4,
            "use_cache": False,
        },
    ),
    "openai-gpt": ("OpenAIGPTModel", "text", _GPT2),
    "rwkv": ("RwkvModel", "text", {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "use_cache": False}),
    # text to text, from embeddings on both sides
    "bart": ("BartModel", "seq2seq", _SEQ2SEQ),
    "blenderbot": ("BlenderbotModel", "seq2seq", _SEQ2SEQ),
    "m2m_100": ("M2M100Model", "seq2seq", _SEQ2SEQ),
    "marian": ("MarianModel", "seq2seq", _SEQ2SEQ | {"pad_token_id": 0}),
    "pegasus": ("PegasusModel", "seq2seq", _SEQ2SEQ),
    "t5": ("T5Model", "seq2seq", _T5),
    "mt5": ("MT5Model", "seq2seq", _T5),
    # images
    "beit": ("BeitModel", "image", _IMAGE),
    "convnext": ("ConvNextModel", "image32", _BRANCHES | {"hidden_sizes": [8, 8, 16, 16]}),
    "convnextv2": ("ConvNextV2Model", "image32", _BRANCHES | {"hidden_sizes": [8, 8, 16, 16]}),
    "cvt": (
        "CvtModel",
        "image32",
        {"embed_dim": [8, 16, 16], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
    ),
    "data2vec-vision": ("Data2VecVisionModel", "image", _IMAGE),
    "deit": ("DeiTModel", "image", _IMAGE),
    "detr": (
        "DetrModel",
        "image32",
        {
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "backbone": None,
            "backbone_config": {"model_type": "resnet", "out_features": ["stage2"], **_STAGES},
            "d_model": 16,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "num_queries": 3,
        },
    ),
    "dinov2": ("Dinov2Model", "image", _IMAGE),
    "dpt": ("DPTModel", "image", _IMAGE | {"backbone_out_indices": [0, 1], "neck_hidden_sizes": [8, 16]}),
    "focalnet": (
        "FocalNetModel",
        "image32",
        {
            "image_size": 32,
            "embed_dim": 8,
            "depths": [1, 1],
            "focal_levels": [1, 1],
            "focal_windows": [3, 3],
            "hidden_sizes": [8, 16],
        },
    ),
    "hiera": (
        "HieraModel",
        "image32",
        {
            "image_size": [32, 32],
            "patch_stride": [4, 4],
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [1, 2],
            "masked_unit_size": [4, 4],
            "num_query_pool": 1,
        },
    ),
    "ijepa": ("IJepaModel", "image", _IMAGE),
    "mobilenet_v1": ("MobileNetV1Model", "image32", {"depth_multiplier": 0.25}),
    "mobilenet_v2": ("MobileNetV2Model", "image32", {"depth_multiplier": 0.35}),
    "mobilevit": (
        "MobileViTModel",
        "image32",
        {
            "image_size": 32,
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [4, 8, 8, 16, 16, 16, 32],
            "num_attention_heads": 2,
        },
    ),
    "perceiver": (
        "PerceiverModel",
        "perceiver",
        {
            "num_latents": 4,
            "d_latents": 16,
            "d_model": 16,
            "num_self_attends_per_block": 1,
            "num_blocks": 1,
            "num_self_attention_heads": 2,
            "num_cross_attention_heads": 2,
        },
    ),
    "poolformer": ("PoolFormerModel", "image32", {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}),
    "pvt": (
        "PvtModel",
        "image32",
        {"image_size": 32, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]},
    ),
    "regnet": ("RegNetModel", "image32", _STAGES | {"groups_width": 4}),
    "resnet": ("ResNetModel", "image32", _STAGES),
    "segformer": (
        "SegformerModel",
        "image32",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2]},
    ),
    "swin": (
        "SwinModel",
        "image32",
        {"image_size": 32, "embed_dim": 8, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4},
    ),
    "swinv2": (
        "Swinv2Model",
        "image32",
        {"image_size": 32, "embed_dim": 8, "depths": [1, 2], "num_heads": [2, 2], "window_size": 4},
    ),
    "vit": ("ViTModel", "image", _IMAGE),
    "vit_mae": ("ViTMAEModel", "mae", _IMAGE | {"mask_ratio": 0.5}),
    "vit_msn": ("ViTMSNModel", "image", _IMAGE),
    "yolos": ("YolosModel", "image", _IMAGE | {"image_size": [16, 16], "num_detection_tokens": 3}),
    # images and text
    "clip": ("CLIPModel", "clip", _CLIP),
    "clipseg": ("CLIPSegModel", "clip", _CLIP),
    "siglip": ("SiglipModel", "clip", {key: _CLIP[key] for key in ("text_config", "vision_config")}),
    # sound
    "audio-spectrogram-transformer": (
        "ASTModel",
        "spectrogram",
        {**_IMAGE, "num_mel_bins": 16, "max_length": 24, "frequency_stride": 4, "time_stride": 4},
    ),
    "hubert": ("HubertModel", "sound", _SPEECH),
    "wav2vec2": ("Wav2Vec2Model", "sound", _SPEECH),
    "wavlm": ("WavLMModel", "sound", _SPEECH | {"num_buckets": 8}),
    "whisper": (
        "WhisperModel",
        "whisper",
        {
            **_SEQ2SEQ,
            "num_mel_bins": 8,
            "max_source_positions": 10,
            "max_target_positions": 8,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
    ),
    # numbers in time
    "patchtst": (
        "PatchTSTModel",
        "series",
        {
            "num_input_channels": 2,
            "context_length": 16,
            "patch_length": 4,
            "patch_stride": 4,
            "d_model": 16,
            "num_attention_heads": 2,
            "ffn_dim": 32,
            "num_hidden_layers": 2,
        },
    ),
}
"""Model class, kind of input and configuration of each architecture, by the name that transformers gives it."""


def inputs_of(kind: str, config: Any, generator: torch.Generator) -> tuple[dict[str, torch.Tensor], str]:
    """Make the keyword arguments of a model, and name the one that becomes a box."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    width = next(
        (getattr(config, name) for name in ("embedding_size", "hidden_size", "d_model") if hasattr(config, name)), 16
    )
    tokens = torch.arange(3, 9)[None]
    if kind == "text":
        return {"inputs_embeds": normal(1, 6, width)}, "inputs_embeds"
    if kind == "seq2seq":
        return {"inputs_embeds": normal(1, 6, width), "decoder_inputs_embeds": normal(1, 4, width)}, "inputs_embeds"
    if kind == "image":
        return {"pixel_values": normal(1, 3, 16, 16)}, "pixel_values"
    if kind == "image32":
        return {"pixel_values": normal(1, 3, 32, 32)}, "pixel_values"
    if kind == "mae":
        return {"pixel_values": normal(1, 3, 16, 16), "noise": normal(1, 16)}, "pixel_values"
    if kind == "clip":
        return {"pixel_values": normal(1, 3, 16, 16), "input_ids": tokens}, "pixel_values"
    if kind == "spectrogram":
        return {"input_values": normal(1, 24, 16)}, "input_values"
    if kind == "sound":
        return {"input_values": normal(1, 160)}, "input_values"
    if kind == "whisper":
        return {"input_features": normal(1, 8, 20), "decoder_input_ids": tokens}, "input_features"
    if kind == "perceiver":
        return {"inputs": normal(1, 6, 16)}, "inputs"
    if kind == "series":
        return {"past_values": normal(1, 16, 2)}, "past_values"
    raise ValueError(f"unknown kind of input {kind!r}")


def build(name: str, seed: int = 0) -> tuple[torch.nn.Module, dict[str, torch.Tensor], str]:
    """Make a model with random weights and its input."""
    import transformers

    torch.manual_seed(seed)
    title, kind, settings = HUGGING_FACE[name]
    config = getattr(transformers, title).config_class(**settings)
    model = getattr(transformers, title)(config)
    return model, *inputs_of(kind, config, torch.Generator().manual_seed(seed))
