"""Words that captions are made of: for colours, and names that Python may not know."""

# The basic colour terms of English (Berlin and Kay 1969).
COLOURS = (
    "black", "grey", "white", "red", "pink", "orange", "brown", "yellow", "green", "blue",
    "purple",
)  # fmt: skip
# Unicode 14 to 16; Python 3.10 has 13. Names in Unicode never change.
NEWER = """
    1f6dc wireless; 1f6dd playground slide; 1f6de wheel; 1f6df ring buoy; 1f7f0 heavy equals sign;
    1f979 face holding back tears; 1f9cc troll; 1fa75 light blue heart; 1fa76 grey heart; 1fa77
    pink heart; 1fa7b x-ray; 1fa7c crutch; 1fa87 maracas; 1fa88 flute; 1fa89 harp; 1fa8f shovel;
    1faa9 mirror ball; 1faaa identification card; 1faab low battery; 1faac hamsa; 1faad folding
    hand fan; 1faae hair pick; 1faaf khanda; 1fab7 lotus; 1fab8 coral; 1fab9 empty nest; 1faba
    nest with eggs; 1fabb hyacinth; 1fabc jellyfish; 1fabd wing; 1fabe leafless tree; 1fabf goose;
    1fac3 pregnant man; 1fac4 pregnant person; 1fac5 person with crown; 1fac6 fingerprint; 1face
    moose; 1facf donkey; 1fad7 pouring liquid; 1fad8 beans; 1fad9 jar; 1fada ginger root; 1fadb
    pea pod; 1fadc root vegetable; 1fadf splatter; 1fae0 melting face; 1fae1 saluting face; 1fae2
    face with open eyes and hand over mouth; 1fae3 face with peeking eye; 1fae4 face with diagonal
    mouth; 1fae5 dotted line face; 1fae6 biting lip; 1fae7 bubbles; 1fae8 shaking face; 1fae9 face
    with bags under eyes; 1faf0 hand with index finger and thumb crossed; 1faf1 rightwards hand;
    1faf2 leftwards hand; 1faf3 palm down hand; 1faf4 palm up hand; 1faf5 index pointing at the
    viewer; 1faf6 heart hands; 1faf7 leftwards pushing hand; 1faf8 rightwards pushing hand
"""
# ISO 3166 codes, and those that Unicode has flags of beside them.
FLAGS = """
    ac ascension island; ad andorra; ae united arab emirates; af afghanistan; ag antigua and
    barbuda; ai anguilla; al albania; am armenia; ao angola; aq antarctica; ar argentina; as
    american samoa; at austria; au australia; aw aruba; ax åland islands; az azerbaijan; ba bosnia
    and herzegovina; bb barbados; bd bangladesh; be belgium; bf burkina faso; bg bulgaria; bh
    bahrain; bi burundi; bj benin; bl st barthelemy; bm bermuda; bn brunei; bo bolivia; bq
    caribbean netherlands; br brazil; bs bahamas; bt bhutan; bv bouvet island; bw botswana; by
    belarus; bz belize; ca canada; cc cocos islands; cd congo kinshasa; cf central african
    republic; cg congo brazzaville; ch switzerland; ci côte d'ivoire; ck cook islands; cl chile;
    cm cameroon; cn china; co colombia; cp clipperton island; cq sark; cr costa rica; cu cuba; cv
    cape verde; cw curaçao; cx christmas island; cy cyprus; cz czech republic; de germany; dg
    diego garcia; dj djibouti; dk denmark; dm dominica; do dominican republic; dz algeria; ea
    ceuta and melilla; ec ecuador; ee estonia; eg egypt; eh western sahara; er eritrea; es spain;
    et ethiopia; eu european union; fi finland; fj fiji; fk falkland islands; fm micronesia; fo
    faroe islands; fr france; ga gabon; gb united kingdom; gd grenada; ge georgia; gf french
    guiana; gg guernsey; gh ghana; gi gibraltar; gl greenland; gm gambia; gn guinea; gp
    guadeloupe; gq equatorial guinea; gr greece; gs south georgia and south sandwich islands; gt
    guatemala; gu guam; gw guinea-bissau; gy guyana; hk hong kong; hm heard island and mcdonald
    islands; hn honduras; hr croatia; ht haiti; hu hungary; ic canary islands; id indonesia; ie
    ireland; il israel; im isle of man; in india; io british indian ocean territory; iq iraq; ir
    iran; is iceland; it italy; je jersey; jm jamaica; jo jordan; jp japan; ke kenya; kg
    kyrgyzstan; kh cambodia; ki kiribati; km comoros; kn st kitts and nevis; kp north korea; kr
    south korea; kw kuwait; ky cayman islands; kz kazakhstan; la laos; lb lebanon; lc st lucia; li
    liechtenstein; lk sri lanka; lr liberia; ls lesotho; lt lithuania; lu luxembourg; lv latvia;
    ly libya; ma morocco; mc monaco; md moldova; me montenegro; mf st martin; mg madagascar; mh
    marshall islands; mk north macedonia; ml mali; mm myanmar; mn mongolia; mo macau; mp northern
    mariana islands; mq martinique; mr mauritania; ms montserrat; mt malta; mu mauritius; mv
    maldives; mw malawi; mx mexico; my malaysia; mz mozambique; na namibia; nc new caledonia; ne
    niger; nf norfolk island; ng nigeria; ni nicaragua; nl netherlands; no norway; np nepal; nr
    nauru; nu niue; nz new zealand; om oman; pa panama; pe peru; pf french polynesia; pg papua new
    guinea; ph philippines; pk pakistan; pl poland; pm st pierre and miquelon; pn pitcairn; pr
    puerto rico; ps palestine; pt portugal; pw palau; py paraguay; qa qatar; re réunion; ro
    romania; rs serbia; ru russia; rw rwanda; sa saudi arabia; sb solomon islands; sc seychelles;
    sd sudan; se sweden; sg singapore; sh st helena; si slovenia; sj svalbard and jan mayen; sk
    slovakia; sl sierra leone; sm san marino; sn senegal; so somalia; sr suriname; ss south sudan;
    st sao tome and principe; sv el salvador; sx st maarten; sy syria; sz eswatini; ta tristan da
    cunha; tc turks and caicos islands; td chad; tf french southern territories; tg togo; th
    thailand; tj tajikistan; tk tokelau; tl east timor; tm turkmenistan; tn tunisia; to tonga; tr
    turkey; tt trinidad and tobago; tv tuvalu; tw taiwan; tz tanzania; ua ukraine; ug uganda; um
    us outlying islands; un united nations; us united states; uy uruguay; uz uzbekistan; va
    vatican city; vc st vincent and grenadines; ve venezuela; vg british virgin islands; vi us
    virgin islands; vn vietnam; vu vanuatu; wf wallis and futuna; ws samoa; xk kosovo; ye yemen;
    yt mayotte; za south africa; zm zambia; zw zimbabwe; gbeng england; gbsct scotland; gbwls
    wales
"""
