"""Models of timm, the smallest variant of each family, as data."""

from __future__ import annotations

from typing import Any

import torch

TIMM: dict[str, int | dict[str, Any]] = {
    # beit
    "beit_base_patch16_224": {"img_size": 32},
    "beitv2_base_patch16_224": {"img_size": 32},
    # byoanet
    "botnet26t_256": {"img_size": 32},
    "eca_botnext26ts_256": {"img_size": 32},
    "halo2botnet50ts_256": {"img_size": 128},
    "lambda_resnet26t": {"img_size": 32},
    "sebotnet33ts_256": {"img_size": 32},
    # byobnet
    "bat_resnext26ts": {"img_size": 256},
    "eca_resnext26ts": {"img_size": 32},
    "gcresnet33ts": {"img_size": 32},
    "gcresnext26ts": {"img_size": 32},
    "gernet_s": {"img_size": 32},
    "mobileone_s1": {"img_size": 32},
    "regnetz_b16": {"img_size": 32},
    "repvgg_a0": {"img_size": 32},
    "resnet32ts": {"img_size": 32},
    "resnext26ts": {"img_size": 32},
    "seresnet33ts": {"img_size": 32},
    "seresnext26ts": {"img_size": 32},
    "test_byobnet": {"img_size": 32},
    # cait
    "cait_xxs24_224": {"img_size": 32},
    # coat
    "coat_tiny": {"img_size": 32},
    # convit
    "convit_tiny": {"img_size": 32},
    # convmixer
    "convmixer_768_32": 64,
    # convnext
    "convnext_zepto_rms": 64,
    "convnextv2_atto": 64,
    "test_convnext": 64,
    # cpubone
    "cpubone_nano": 64,
    # crossvit
    "crossvit_tiny_240": 64,
    # csatv2
    "csatv2": 64,
    # cspnet
    "cs3darknet_focus_s": 64,
    "cspdarknet53": 64,
    "cspresnet50": 64,
    "cspresnext50": 64,
    "darknet17": 64,
    "sedarknet21": 64,
    # cspnext
    "cspnext_tiny": 64,
    # davit
    "davit_tiny": 64,
    # deit
    "deit_tiny_patch16_224": {"img_size": 32},
    # densenet
    "densenet121": 64,
    "densenetblur121d": 64,
    # dla
    "dla46x_c": 64,
    # dpn
    "dpn48b": 64,
    # edgenext
    "edgenext_xx_small": 64,
    # efficientformer
    "efficientformer_l1": {"img_size": 224},
    # efficientformer_v2
    "efficientformerv2_s0": {"img_size": 32},
    # efficientnet
    "efficientnet_lite0": 64,
    "efficientnetv2_rw_t": 64,
    "fbnetc_100": 64,
    "gc_efficientnetv2_rw_t": 64,
    "mixnet_s": 64,
    "mnasnet_small": 64,
    "mobilenet_edgetpu_100": 64,
    "mobilenetv2_035": 64,
    "semnasnet_050": 64,
    "spnasnet_100": 64,
    "test_efficientnet": 64,
    "tf_mixnet_s": 64,
    "tinynet_e": 64,
    # efficientvim
    "efficientvim_m1": 64,
    # efficientvit_mit
    "efficientvit_b0": 64,
    # efficientvit_msra
    "efficientvit_m0": {"img_size": 32},
    # eva
    "eva02_tiny_patch14_224": {"img_size": 32},
    "vit_tiny_patch16_dinov3_qkvb": {"img_size": 32},
    # fasternet
    "fasternet_t0": 64,
    # fastvit
    "fastvit_t8": 64,
    # focalnet
    "focalnet_tiny_srf": 64,
    # gcvit
    "gcvit_xxtiny": {"img_size": 32},
    # ghostnet
    "ghostnet_050": 64,
    "ghostnetv3_050": 64,
    # hardcorenas
    "hardcorenas_b": 64,
    # hgnet
    "hgnet_tiny": 64,
    "hgnetv2_b0": 64,
    # hiera
    "hiera_tiny_224": {"img_size": 32},
    # hieradet_sam2
    "hieradet_small": 64,
    "sam2_hiera_tiny": 64,
    # hrnet
    "hrnet_w18_small": 64,
    # iformer
    "iformer_t": 64,
    # inception_next
    "inception_next_atto": 64,
    # inception_resnet_v2
    "inception_resnet_v2": 96,
    # inception_v3
    "inception_v3": 96,
    # inception_v4
    "inception_v4": 96,
    # lcnetv2
    "lcnetv2_small": 64,
    # levit
    "levit_128s": {"img_size": 32},
    # lowformer
    "lowformer_b0": 64,
    # mambaout
    "mambaout_femto": 64,
    "test_mambaout": 64,
    # maxxvit
    "coatnet_pico_rw_224": {"img_size": 32},
    "coatnext_nano_rw_224": {"img_size": 32},
    "maxvit_pico_rw_256": {"img_size": 32},
    "maxxvit_rmlp_nano_rw_256": {"img_size": 32},
    "maxxvitv2_nano_rw_256": {"img_size": 32},
    "test_coatnet": {"img_size": 32},
    # metaformer
    "caformer_s18": 64,
    "convformer_s18": 64,
    "poolformer_s12": 64,
    "poolformerv2_s12": 64,
    # mlp_mixer
    "gmixer_12_224": {"img_size": 32},
    "gmlp_ti16_224": {"img_size": 32},
    "mixer_s16_224": {"img_size": 32},
    "resmlp_12_224": {"img_size": 32},
    # mobilenetv3
    "fbnetv3_b": 64,
    "lcnet_035": 64,
    "mobilenetv3_small_050": 64,
    "tf_mobilenetv3_small_075": 64,
    # mobilevit
    "mobilevit_xxs": {"img_size": 32},
    "mobilevitv2_050": {"img_size": 32},
    # mvitv2
    "mvitv2_tiny": {"img_size": 32},
    # naflexvit
    "naflexvit_base_patch16_gap": {"img_size": 32},
    # nasnet
    "nasnetalarge": 64,
    # nest
    "nest_tiny": {"img_size": 32},
    # nextvit
    "nextvit_small": 64,
    # nfnet
    "eca_nfnet_l0": 64,
    "nf_regnet_b0": 64,
    "nfnet_l0": 64,
    "test_nfnet": 64,
    # pit
    "pit_ti_224": {"img_size": 32},
    # pnasnet
    "pnasnet5large": 64,
    # pvt_v2
    "pvt_v2_b0": 64,
    # qwen3_vit
    "qwen3_vit_88m": {"img_size": 32},
    # rdnet
    "rdnet_tiny": 64,
    # regnet
    "regnetv_040": 64,
    "regnetx_002": 64,
    "regnety_002": 64,
    "regnetz_005": 64,
    # repghost
    "repghostnet_050": 64,
    # repvit
    "repvit_m1": {"img_size": 32},
    # res2net
    "res2next50": 64,
    # resnest
    "resnest14d": 64,
    # resnet
    "ecaresnet26t": 64,
    "ecaresnetlight": 64,
    "ecaresnext26t_32x4d": 64,
    "resnet10t": 64,
    "resnetaa34d": 64,
    "resnetblur18": 64,
    "resnetrs50": 64,
    "resnext50_32x4d": 64,
    "seresnet18": 64,
    "seresnetaa50d": 64,
    "seresnext26t_32x4d": 64,
    "test_resnet": 64,
    # resnetv2
    "resnetv2_18": 64,
    # rexnet
    "rexnet_100": 64,
    "rexnetr_100": 64,
    # selecsls
    "selecsls42": 64,
    # senet
    "legacy_seresnet18": 64,
    # sequencer
    "sequencer2d_s": {"img_size": 32},
    # shvit
    "shvit_s1": 64,
    # sknet
    "skresnet18": 64,
    "skresnext50_32x4d": 64,
    # starnet
    "starnet_s050": 64,
    # swiftformer
    "swiftformer_xs": {"img_size": 32},
    # swin_transformer
    "swin_tiny_patch4_window7_224": {"img_size": 32},
    # swin_transformer_v2
    "swinv2_tiny_window8_256": {"img_size": 32},
    # swin_transformer_v2_cr
    "swinv2_cr_tiny_224": {"img_size": 32},
    # tiny_vit
    "tiny_vit_5m_224": 64,
    # tnt
    "tnt_s_legacy_patch16_224": {"img_size": 32},
    # tresnet
    "tresnet_m": 64,
    # twins
    "twins_svt_small": {"img_size": 32},
    # visformer
    "visformer_tiny": {"img_size": 32},
    # vision_transformer
    "beit3_base_patch16_224": {"img_size": 32},
    "flexivit_small": {"img_size": 32},
    "test_vit": {"img_size": 32},
    "vit_tiny_patch16_224": {"img_size": 32},
    # vision_transformer_hybrid
    "vit_tiny_r_s16_p8_224": {"img_size": 32},
    # vision_transformer_relpos
    "test_vit_relpos": {"img_size": 32},
    "vit_srelpos_small_patch16_224": {"img_size": 32},
    # vision_transformer_sam
    "samvit_base_patch16": {"img_size": 32},
    # vitamin
    "vitamin_small_224": {"img_size": 32},
    # volo
    "volo_d1_224": {"img_size": 32},
    # vovnet
    "eca_vovnet39b": 64,
    "ese_vovnet19b_slim_dw": 64,
    "vovnet39a": 64,
    # xception
    "legacy_xception": 64,
    # xception_aligned
    "xception41p": 64,
    # xcit
    "xcit_nano_12_p8_224": {"img_size": 32},
}
"""Side of the image of each model, or the arguments of its constructor, which tell it too."""


def build(name: str, seed: int = 0) -> tuple[torch.nn.Module, dict[str, torch.Tensor], str]:
    """Make a model with random weights, its input, and the name of the argument that becomes a box."""
    import timm

    settings = TIMM[name]
    arguments = settings if isinstance(settings, dict) else {}
    side = settings["img_size"] if isinstance(settings, dict) else settings
    torch.manual_seed(seed)
    model = timm.create_model(name, num_classes=10, **arguments)
    return model, {"x": torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))}, "x"
